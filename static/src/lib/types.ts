/** What the API sends and takes, as far as the site uses it; `/openapi.json` has all of it. */

export interface Session {
  id: string
  user: string
  scopes: string[]
  expires_at?: string
}

export interface TotpSecret {
  /** In base 32. */
  secret: string
  /** `otpauth://…` */
  url: string
}

export type Status = 'disabled' | 'stopped' | 'starting' | 'running' | 'restarting' | 'stopping' | 'failed'

export interface PluginState {
  name: string
  kind: string
  state: Status
  autostart: boolean
  /** Lives so far, the present one included. */
  generation: number
  restarts: number
  last_panic: string | null
  reason: string | null
  since: string
  hanging: boolean
  needs: string[]
  capabilities: string[]
  calls: CallCounts
  latency: Latency
  /** Bytes, where the plugin's memory is known. */
  memory_bytes?: number | null
}

export interface CallCounts {
  in_flight: number
  served: number
  refused: number
  rejected: number
  failed: number
  timed_out: number
  cancelled: number
  panics: number
}

export interface Latency {
  count: number
  p50_ms: number
  p99_ms: number
  max_ms: number
}

export type Level = 'error' | 'warn' | 'info' | 'debug' | 'trace'

export interface LogRecord {
  seq: number
  ts: string
  plugin: string
  level: Level
  stream: 'log' | 'stdout' | 'stderr'
  message: string
  fields?: Record<string, string>
}

export type LogFrame =
  | { type: 'hello'; epoch: string; oldest: number; next: number }
  | { type: 'records'; records: LogRecord[] }
  | { type: 'gap'; from: number; to: number; count: number }

export type PluginsFrame = { type: 'plugins' | 'changed'; plugins: PluginState[] }

export interface Model {
  id: string
  object: 'model'
  owned_by: string
  task?: 'chat' | 'embedding'
  /** What runs it: `extract` answers from collections, `upstream` passes on. */
  engine?: string
}

export interface ChatMessage {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool'
  content: string
}

export interface ChatRequest {
  model: string
  messages: ChatMessage[]
  temperature?: number
  top_p?: number
  max_tokens?: number
  retrieval?: { collections: string[]; top_k?: number }
  stream_options?: { include_usage: boolean }
}

export interface Citation {
  type: 'file_citation'
  file_citation: { document_id: string; collection: string; start: number; end: number; title?: string | null }
}

export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
}

export interface ChatChunk {
  id: string
  model: string
  choices: {
    index: number
    delta: { role?: string; content?: string | null; annotations?: Citation[] }
    finish_reason: string | null
  }[]
  usage?: Usage | null
}

/** Where a setting's value comes from; a later one wins. */
export type Source = 'default' | 'file' | 'operator'

export interface PluginDetail extends PluginState {
  autostart_source: Source
  /** The file that the baseline was read from, or `built in`. */
  baseline: string
  settings: Record<string, { value: unknown; source: Source }>
  /** A JSON Schema of the object that the settings are. */
  schema?: unknown
}
