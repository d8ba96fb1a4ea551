/** What a key's fields mean to a person, and how a client uses it. */

import type { Key, KeyLimits } from '../../lib/admin'

export type KeyState = 'active' | 'rotated' | 'expired' | 'revoked'

export function stateOf(key: Key, now = Date.now()): KeyState {
  const past = (instant: string) => new Date(instant).getTime() <= now
  if (key.revoked_at) return 'revoked'
  if (key.expires_at && past(key.expires_at)) return 'expired'
  return key.previous_until && !past(key.previous_until) ? 'rotated' : 'active'
}

export type LimitName = keyof KeyLimits

export const limitNames: readonly LimitName[] = [
  'requests_per_minute',
  'tokens_per_minute',
  'concurrent_requests',
  'monthly_tokens',
]

/** The limits that a key has. */
export function limits(key: Key): { name: LimitName; value: number }[] {
  return limitNames.flatMap((name) => {
    const value = key.limits[name]
    return typeof value === 'number' ? [{ name, value }] : []
  })
}

/** A first request with `key`, in each language. */
export function snippets(base: string, key: string, model: string) {
  return {
    python: `# pip install openai
from openai import OpenAI

client = OpenAI(base_url="${base}", api_key="${key}")
answer = client.chat.completions.create(
    model="${model}",
    messages=[{"role": "user", "content": "How do I revoke a key?"}],
    extra_body={"retrieval": {"collections": ["bkg"]}},
)
print(answer.choices[0].message.content)`,
    curl: `curl ${base}/chat/completions \\
  -H "Authorization: Bearer ${key}" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "${model}",
       "messages": [{"role": "user", "content": "How do I revoke a key?"}],
       "retrieval": {"collections": ["bkg"]}}'`,
    javascript: `// npm install openai
import OpenAI from 'openai'

const client = new OpenAI({ baseURL: '${base}', apiKey: '${key}' })
const answer = await client.chat.completions.create({
  model: '${model}',
  messages: [{ role: 'user', content: 'How do I revoke a key?' }],
  retrieval: { collections: ['bkg'] },
})
console.log(answer.choices[0].message.content)`,
  }
}
