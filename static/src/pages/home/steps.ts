/** What there is to do on the way to the first answer, and what of it is done. */

import { get } from '../../lib/api'
import { session } from '../../lib/session.svelte'
import type { CollectionStats, Key, UsageReport } from '../../lib/admin'
import { readUpstreams } from './upstreams'

export type Step = 'ask' | 'upstream' | 'documents' | 'key'

/** The collection that the gateway comes with: its own guide. */
const GUIDE = 'bkg'

const FAR = 364 * 86_400_000

/** The steps that one may take, in order, each with whether it has been taken. */
export async function readSteps(signal: AbortSignal): Promise<[Step, boolean][]> {
  const checks: [Step, boolean, () => Promise<boolean>][] = [
    ['ask', session.may('llm.chat'), () => hasAsked(signal)],
    ['upstream', session.may('admin'), async () => (await readUpstreams(signal)).length > 0],
    ['documents', session.may('brainml.index') && session.may('brainml.stats'), () => hasDocuments(signal)],
    ['key', true, () => hasKey(signal)],
  ]
  const mine = checks.filter(([, allowed]) => allowed)
  // A plugin may be down; what it would know is not done, and the rest is told.
  return Promise.all(mine.map(async ([step, , done]): Promise<[Step, boolean]> => [step, await done().catch(whenLeft(signal))]))
}

function whenLeft(signal: AbortSignal) {
  return (error: unknown) => {
    if (signal.aborted) throw error
    return false
  }
}

async function hasAsked(signal: AbortSignal) {
  const from = new Date(Date.now() - FAR).toISOString().slice(0, 10)
  const { usage } = await get<UsageReport>('/admin/usage', { query: { from, group_by: 'route,status' }, signal })
  return usage.some((row) => row.route === '/v1/chat/completions' && row.status === 200)
}

async function hasDocuments(signal: AbortSignal) {
  const { collections } = await get<{ collections: CollectionStats[] }>('/brainml/collections', { signal })
  return collections.some((one) => one.name !== GUIDE && one.documents > 0)
}

async function hasKey(signal: AbortSignal) {
  const { keys } = await get<{ keys: Key[] }>('/admin/keys', { signal })
  return keys.some((key) => !key.revoked_at)
}
