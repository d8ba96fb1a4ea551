/** The state of all plugins as it changes, with what can be told from two looks: calls a second. */

import { get } from '../../lib/api'
import { session } from '../../lib/session.svelte'
import { open } from '../../lib/socket'
import type { CallCounts, PluginsFrame, PluginState } from '../../lib/types'

const EVERY_MS = 2000
/** Two minutes of them. */
const LOOKS = 60

export interface Rate {
  /** Calls a second, at each look; the last one is the latest. */
  calls: number[]
}

/** Calls that have ended, however they did. */
export function ended(calls: CallCounts): number {
  return calls.served + calls.rejected + calls.failed + calls.timed_out + calls.cancelled
}

export class Watch {
  plugins = $state.raw<PluginState[] | null>(null)
  rates = $state.raw<Record<string, Rate>>({})
  error = $state.raw<unknown>(null)

  #last = new Map<string, { at: number; calls: number }>()
  #timer: ReturnType<typeof setInterval>
  #close: () => void

  constructor() {
    void this.look()
    this.#timer = setInterval(() => document.hidden || void this.look(), EVERY_MS)
    this.#close = open<PluginsFrame>({
      where: () => ({ path: '/ws/plugins' }),
      took: (frame) => this.#change(frame.plugins),
      doubt: () => void session.refresh().catch(() => {}),
    })
  }

  close() {
    clearInterval(this.#timer)
    this.#close()
  }

  async look() {
    try {
      const { plugins } = await get<{ plugins: PluginState[] }>('/admin/plugins')
      const now = performance.now()
      this.rates = Object.fromEntries(plugins.map((plugin) => [plugin.name, this.#rate(plugin, now)]))
      this.plugins = plugins
      this.error = null
    } catch (error) {
      this.error = error
    }
  }

  /** A state has come from elsewhere: the socket, or the answer to a change. */
  took(plugin: PluginState) {
    this.#change([plugin])
  }

  #change(changed: PluginState[]) {
    const known = this.plugins ?? []
    const next = known.map((plugin) => changed.find((one) => one.name === plugin.name) ?? plugin)
    const added = changed.filter((one) => !known.some((plugin) => plugin.name === one.name))
    this.plugins = [...next, ...added]
  }

  #rate(plugin: PluginState, now: number): Rate {
    const calls = ended(plugin.calls)
    const last = this.#last.get(plugin.name)
    this.#last.set(plugin.name, { at: now, calls })
    const before = this.rates[plugin.name]?.calls ?? []
    if (!last) return { calls: before }
    // After a restart of the gateway they are counted anew.
    const rate = Math.max(0, (calls - last.calls) / Math.max((now - last.at) / 1000, 0.001))
    return { calls: [...before, rate].slice(-LOOKS) }
  }
}
