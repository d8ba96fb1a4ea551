/** The servers whose models the gateway passes on: a setting of the plugin `llmserver`. */

import { get, put } from '../../lib/api'

export interface Upstream {
  name: string
  base_url: string
  api_key?: string | null
  api_key_env?: string | null
  models?: string[]
  embedding_models?: string[]
}

/** What the gateway shows in the place of a secret; it takes only the secret itself. */
export const HIDDEN = '(hidden)'

interface Config {
  settings: Record<string, { value: unknown }>
}

export async function readUpstreams(signal?: AbortSignal): Promise<Upstream[]> {
  const config = await get<Config>('/admin/plugins/llmserver/config', { signal })
  return (config.settings.upstreams?.value ?? []) as Upstream[]
}

export async function writeUpstreams(upstreams: readonly Upstream[]) {
  await put('/admin/plugins/llmserver/config', { settings: { upstreams } })
}

/** Servers that many people have, with where they usually listen. */
export const kinds = [
  { id: 'ollama', label: 'Ollama', name: 'ollama', url: 'http://127.0.0.1:11434/v1' },
  { id: 'lmstudio', label: 'LM Studio', name: 'lmstudio', url: 'http://127.0.0.1:1234/v1' },
  { id: 'vllm', label: 'vLLM', name: 'vllm', url: 'http://127.0.0.1:8000/v1' },
  { id: 'llamacpp', label: 'llama.cpp', name: 'llamacpp', url: 'http://127.0.0.1:8080/v1' },
  { id: 'openai', label: 'OpenAI', name: 'openai', url: 'https://api.openai.com/v1' },
  { id: 'mistral', label: 'Mistral', name: 'mistral', url: 'https://api.mistral.ai/v1' },
  { id: 'openrouter', label: 'OpenRouter', name: 'openrouter', url: 'https://openrouter.ai/api/v1' },
  { id: 'other', label: '…', name: '', url: '' },
] as const

export type KindId = (typeof kinds)[number]['id']

/** The host with its port, where it is on this machine or in a private network; else nothing. */
export function privateHost(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined
  const { hostname, host } = new URL(url)
  const near =
    /^(localhost|.*\.(local|internal|lan)|127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|\[)/.test(hostname) || !hostname.includes('.')
  return near ? host : undefined
}

/** Names, between commas, spaces or lines. */
export function names(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter(Boolean))]
}
