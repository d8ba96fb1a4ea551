/** What a page shows of the gateway: the last answer stays while a newer one is on its way. */

import { session } from './session.svelte'

export class Loaded<T> {
  value = $state.raw<T>()
  error = $state.raw<unknown>()
  busy = $state(false)
  readonly #ask: (signal: AbortSignal) => Promise<T>
  #work: AbortController | undefined

  constructor(ask: (signal: AbortSignal) => Promise<T>) {
    this.#ask = ask
  }

  /** Asks anew; an older question that is still under way is dropped. */
  async load(): Promise<void> {
    this.#work?.abort()
    const work = (this.#work = new AbortController())
    this.busy = true
    try {
      const value = await this.#ask(work.signal)
      if (work.signal.aborted) return
      this.value = value
      this.error = undefined
    } catch (error) {
      if (!work.signal.aborted) this.error = error
    }
    if (!work.signal.aborted) this.busy = false
  }

  /** Asks every `seconds` while the page is looked at. Gives what ends it. */
  poll(seconds: number): () => void {
    const timer = setInterval(() => {
      if (!document.hidden && session.current && !this.busy) void this.load()
    }, seconds * 1000)
    return () => {
      clearInterval(timer)
      this.stop()
    }
  }

  stop() {
    this.#work?.abort()
  }
}
