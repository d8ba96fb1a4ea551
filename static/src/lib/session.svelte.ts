/** Who is logged in, and what he may do. */

import { ApiError, get, post, whenSessionEnds } from './api'
import { keep, kept } from './kept'
import type { Session } from './types'

let current = $state<Session | null>(null)
let ended = $state(false)

// The cookie cannot be seen from here. This note spares a browser that has never logged in a request
// that must fail.
const NOTE = 'session'

function set(next: Session | null) {
  current = next
  keep(NOTE, next ? 'open' : null)
}

whenSessionEnds(() => {
  ended = current !== null
  set(null)
})

export const session = {
  /** Who is logged in. */
  get current() {
    return current
  },
  /** Whether a session was open and has ended by itself. */
  get ended() {
    return ended
  },
  /** Whether `scope` is granted; none is needed by everybody's pages. */
  may(scope?: string): boolean {
    if (!current) return false
    return scope === undefined || current.scopes.includes('*') || current.scopes.includes(scope)
  },
  /** Asks the gateway who this is. */
  async refresh() {
    if (!kept(NOTE)) return
    try {
      set(await get<Session>('/auth/session', { judging: true }))
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error
      ended = current !== null
      set(null)
    }
  },
  async logIn(username: string, password: string, code?: string) {
    set(await post<Session>('/auth/login', { username, password, code }, { judging: true }))
    ended = false
  },
  async logOut() {
    await post('/auth/logout', {}, { judging: true })
    set(null)
  },
  async changePassword(from: string, to: string) {
    set(await post<Session>('/auth/password', { current: from, new: to }, { judging: true }))
  },
}
