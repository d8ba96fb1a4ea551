/** Pages of the audit log. Its numbers have no gap, so a page is known by its newest number. */

import { get, type Query } from '../../lib/api'
import type { AuditEntry } from '../../lib/admin'

/** Entries on a page. */
export const PAGE = 50

/** Most entries in one answer. */
const MOST = 1000

/** What the gateway writes down today; others may be in the log too. */
export const actions: readonly string[] = [
  'backup.create',
  'collection.create',
  'collection.delete',
  'key.create',
  'key.revoke',
  'key.rotate',
  'key.update',
  'model.pull',
  'plugin.configure',
  'plugin.restart',
  'plugin.start',
  'plugin.stop',
  'session.login',
  'session.logout',
  'totp.disable',
  'totp.enable',
  'user.create',
  'user.disable',
  'user.enable',
  'user.password',
  'user.role',
  'user.totp_off',
]

export interface AuditPage {
  /** Newest first. */
  entries: AuditEntry[]
  /** The newest number of the page of older entries. */
  older: number | null
  newer: number | 'newest' | null
  /** There may be older ones of this action that are not told. */
  cut: boolean
}

const ask = (query: Query, signal: AbortSignal) => get<{ entries: AuditEntry[] }>('/admin/audit', { query, signal })

/** The page whose newest entry is `until`; the newest one without. */
export async function readPage(action: string, until: number | null, signal: AbortSignal): Promise<AuditPage> {
  return action ? ofAction(action, until, signal) : ofAll(until, signal)
}

async function ofAll(until: number | null, signal: AbortSignal): Promise<AuditPage> {
  const { entries } = await ask(until === null ? { limit: PAGE } : { after: Math.max(0, until - PAGE), limit: PAGE }, signal)
  // Near the beginning of the log the answer reaches beyond the page.
  const own = entries.filter((entry) => until === null || entry.seq <= until).reverse()
  const oldest = own.at(-1)?.seq ?? 1
  return { entries: own, older: oldest > 1 ? oldest - 1 : null, newer: await newerThan(until, signal), cut: false }
}

async function newerThan(until: number | null, signal: AbortSignal): Promise<number | 'newest' | null> {
  if (until === null) return null
  const { entries } = await ask({ after: until, limit: PAGE + 1 }, signal)
  if (!entries.length) return null
  return entries.length > PAGE ? until + PAGE : 'newest'
}

/** The entries of one action are told from the newest on: they are paged here. */
async function ofAction(action: string, until: number | null, signal: AbortSignal): Promise<AuditPage> {
  const answer = await ask({ action, limit: MOST }, signal)
  const all = answer.entries.reverse()
  const first = until === null ? 0 : Math.max(0, all.findIndex((entry) => entry.seq <= until))
  const entries = all.slice(first, first + PAGE)
  const next = all[first + PAGE]
  const before = first > PAGE ? (all[first - PAGE]?.seq ?? null) : first > 0 ? 'newest' : null
  return { entries, older: next?.seq ?? null, newer: before, cut: all.length === MOST }
}

/** All entries, oldest first. */
export async function everything(ask: (query: Query) => Promise<{ entries: AuditEntry[] }>): Promise<AuditEntry[]> {
  const all: AuditEntry[] = []
  for (;;) {
    const { entries } = await ask({ after: all.at(-1)?.seq ?? 0, limit: MOST })
    all.push(...entries)
    if (entries.length < MOST) return all
  }
}
