/**
 * The lines that have come, and those of them that are shown. Lines are taken at any rate and shown
 * once a frame, so that a flood costs the browser no more than a trickle.
 */

import type { Level, LogRecord } from '../../lib/types'
import { readable } from './readable'

/** Lines that are kept; the oldest go, some thousands at a time. */
export const KEPT = 100_000
const SPARE = 10_000

export type Line =
  | { kind: 'record'; id: number; record: LogRecord; text: string }
  | { kind: 'gap'; id: number; count: number }
  | { kind: 'anew'; id: number }

export interface Filter {
  plugin: string
  /** The least level. */
  level: Level
  text: string
}

const RANK: Record<Level, number> = { error: 0, warn: 1, info: 2, debug: 3, trace: 4 }

export class LogBook {
  /** The lines that the filter lets through, oldest first; another array after each change. */
  shown = $state.raw<Line[]>([])
  /** All lines that are kept. */
  total = $state(0)
  /** Lines that came while it was paused. */
  waiting = $state(0)
  paused = $state(false)
  /** Whether the latest change has removed lines at the beginning. */
  shifted = $state(false)
  plugins = $state<string[]>([])

  #all: Line[] = []
  #new: Line[] = []
  #next = 0
  #frame = 0
  #filter: Filter = { plugin: '', level: 'trace', text: '' }
  #known = new Set<string>()

  records(records: LogRecord[]) {
    for (const record of records) {
      this.#new.push({ kind: 'record', id: this.#next++, record, text: readable(record) })
    }
    this.#soon()
  }

  gap(count: number) {
    this.#new.push({ kind: 'gap', id: this.#next++, count })
    this.#soon()
  }

  /** The gateway has restarted. */
  anew() {
    this.#new.push({ kind: 'anew', id: this.#next++ })
    this.#soon()
  }

  filter(filter: Filter) {
    this.#filter = { ...filter, text: filter.text.toLowerCase() }
    this.shifted = false
    this.shown = this.#all.filter((line) => this.#passes(line))
  }

  pause(wish: boolean) {
    this.paused = wish
    if (!wish) this.#take()
  }

  clear() {
    this.#all = []
    this.#new = []
    this.shifted = false
    this.shown = []
    this.total = this.waiting = 0
  }

  close() {
    cancelAnimationFrame(this.#frame)
  }

  /** The shown lines, one JSON object a line: nothing in a line can forge another. */
  file(): Blob {
    const records = this.shown.flatMap((line) => (line.kind === 'record' ? [`${JSON.stringify(line.record)}\n`] : []))
    return new Blob(records, { type: 'application/x-ndjson' })
  }

  #soon() {
    // A page in the background has no frames, and must not gather for ever.
    if (this.#new.length > KEPT + SPARE) this.#new.splice(0, this.#new.length - KEPT)
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0
      if (this.paused) this.waiting = this.#new.length
      else this.#take()
    })
  }

  #take() {
    const lines = this.#new
    this.#new = []
    this.waiting = 0
    if (!lines.length) return
    this.#meet(lines)
    for (const line of lines) this.#all.push(line)
    const passed = lines.filter((line) => this.#passes(line))
    const removed = this.#all.length > KEPT + SPARE ? this.#all.splice(0, this.#all.length - KEPT) : []
    const first = this.#all[0]?.id ?? 0
    const kept = removed.length ? this.shown.filter((line) => line.id >= first) : this.shown
    this.shifted = kept.length !== this.shown.length
    if (passed.length || this.shifted) this.shown = kept.concat(passed)
    this.total = this.#all.length
  }

  #meet(lines: Line[]) {
    const before = this.#known.size
    for (const line of lines) if (line.kind === 'record') this.#known.add(line.record.plugin)
    if (this.#known.size !== before) this.plugins = [...this.#known].sort()
  }

  #passes(line: Line): boolean {
    if (line.kind !== 'record') return true
    const { plugin, level, text } = this.#filter
    if (plugin && line.record.plugin !== plugin) return false
    if (RANK[line.record.level] > RANK[level]) return false
    return !text || line.text.toLowerCase().includes(text)
  }
}
