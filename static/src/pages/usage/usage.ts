/** Usage by day and by what people tell apart, made from rows that also tell the status. */

import { grouped } from '../../lib/grouped'
import type { UsageRow } from '../../lib/admin'

export type Split = 'model' | 'key' | 'user' | 'route' | 'status'
export type Metric = 'requests' | 'tokens' | 'errors' | 'latency'

export interface Sums {
  requests: number
  prompt: number
  completion: number
  /** Requests with a status of 400 and above; 499 are those whose caller left. */
  errors: number
  /** Tokens of requests that failed: paid for in vain. */
  lost: number
  meanMs: number
  maxMs: number
}

export function sum(rows: readonly UsageRow[]): Sums {
  const failed = rows.filter((row) => (row.status ?? 0) >= 400)
  const total = (of: readonly UsageRow[], take: (row: UsageRow) => number) => of.reduce((all, row) => all + take(row), 0)
  const requests = total(rows, (row) => row.requests)
  return {
    requests,
    prompt: total(rows, (row) => row.prompt_tokens),
    completion: total(rows, (row) => row.completion_tokens),
    errors: total(failed, (row) => row.requests),
    lost: total(failed, (row) => row.total_tokens),
    meanMs: requests ? total(rows, (row) => row.mean_ms * row.requests) / requests : 0,
    maxMs: Math.max(0, ...rows.map((row) => row.max_ms)),
  }
}

export function figure(sums: Sums, metric: Metric): number {
  if (metric === 'tokens') return sums.prompt + sums.completion
  return { requests: sums.requests, errors: sums.errors, latency: sums.meanMs }[metric]
}

export interface Part {
  /** What it is of; `null` gathers those that are too small to be told apart. */
  name: string | null
  sums: Sums
  /** The figure of each day. */
  days: number[]
}

/** The parts, the largest first, at most `most` of them and the rest together. */
export function parts(rows: readonly UsageRow[], split: Split, metric: Metric, days: readonly string[], most: number): Part[] {
  const byName = grouped(rows, (row) => String(row[split] ?? ''))
  const all = [...byName].map(([name, rows]) => ({ name, rows, sums: sum(rows) }))
  all.sort((one, other) => figure(other.sums, metric) - figure(one.sums, metric) || one.name.localeCompare(other.name))
  const shown: { name: string | null; rows: UsageRow[]; sums: Sums }[] = all.slice(0, most)
  const rest = all.slice(most).flatMap((one) => one.rows)
  if (rest.length) shown.push({ name: null, rows: rest, sums: sum(rest) })
  return shown.map(({ name, rows, sums }) => {
    const byDay = grouped(rows, (row) => row.day ?? '')
    return { name, sums, days: days.map((day) => figure(sum(byDay.get(day) ?? []), metric)) }
  })
}

/** The days from one to another, both included, as `2027-01-31`. */
export function daysBetween(from: string, to: string): string[] {
  const days: string[] = []
  for (let at = Date.parse(from); at <= Date.parse(to); at += 86_400_000) days.push(new Date(at).toISOString().slice(0, 10))
  return days
}

/** The day, in UTC as the gateway counts. */
export function day(ago: number, now = Date.now()): string {
  return new Date(now - ago * 86_400_000).toISOString().slice(0, 10)
}

const COLUMNS = ['day', 'key', 'model', 'status', 'requests', 'prompt_tokens', 'completion_tokens', 'mean_ms', 'max_ms'] as const

/** The rows as a table for spreadsheets. Source: RFC 4180. */
export function csv(rows: readonly UsageRow[], split: Split): string {
  const columns = [...new Set(['day', split, ...COLUMNS.filter((name) => rows.some((row) => row[name] !== undefined))])] as (keyof UsageRow)[]
  const lines = rows.map((row) => columns.map((name) => cell(row[name])).join(','))
  return [columns.join(','), ...lines, ''].join('\r\n')
}

function cell(value: string | number | undefined): string {
  let text = String(value ?? '')
  // A spreadsheet would run what looks like a formula.
  if (typeof value === 'string' && /^[=+\-@\t\r]/.test(text)) text = `'${text}`
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
