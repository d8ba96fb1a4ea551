/** What the routes for operators send, as far as the site uses it. */

import type { PluginState } from './types'

export interface User {
  username: string
  role: 'admin' | 'user'
  scopes: string[]
  created_at: string
  disabled: boolean
  totp: boolean
}

export interface KeyLimits {
  requests_per_minute?: number | null
  tokens_per_minute?: number | null
  concurrent_requests?: number | null
  monthly_tokens?: number | null
}

export interface Key {
  id: string
  name: string
  user: string
  scopes: string[]
  created_at: string
  expires_at?: string | null
  revoked_at?: string | null
  last_used_at?: string | null
  /** How long the secret before the last rotation still holds. */
  previous_until?: string | null
  limits: KeyLimits
}

/** A key just made: its secret is shown this once. */
export interface NewKey extends Key {
  key: string
}

export interface UsageRow {
  day?: string
  key?: string
  user?: string
  model?: string
  route?: string
  status?: number
  requests: number
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  mean_ms: number
  max_ms: number
}

export interface UsageReport {
  usage: UsageRow[]
  total: UsageRow
}

export interface AuditEntry {
  seq: number
  at: string
  actor: string
  user: string
  address: string | null
  request_id: string
  action: string
  target: string
  detail: Record<string, unknown>
  previous: string
  hash: string
}

export interface AuditVerdict {
  intact: boolean
  entries: number
  head: string
  broken: { seq: number; why: string } | null
}

export interface Backup {
  name: string
  bytes: number
  made_at: string
}

export interface GatewaySetting {
  key: string
  doc: string
  type: string
  default: unknown
  value: unknown
  source: 'default' | 'file' | 'environment' | 'flag'
  environment: string
}

export interface Health {
  status: string
  /** Why it is not `ok`. */
  reason?: string
  version: string
  uptime_seconds: number
  connections: number
  plugins: PluginState[]
  certificate?: { loaded_at: string; not_after: string; failed_reloads: number; last_error?: string | null } | null
}

export interface TraceSummary {
  trace_id: string
  request_id: string
  route: string | null
  method: string
  status: number
  started_at: string
  duration_us: number
  spans: number
}

export interface TraceSpan {
  span_id: string
  parent_id: string | null
  name: string
  kind: 'server' | 'internal' | 'client'
  plugin: string | null
  start_us: number
  duration_us: number
  status: 'ok' | 'error'
  attributes: Record<string, unknown>
}

export interface Trace extends Omit<TraceSummary, 'spans'> {
  spans_left_out?: number
  spans: TraceSpan[]
}

export interface CollectionStats {
  name: string
  documents: number
  chunks: number
  bytes: number
}
