/** Sockets that come back by themselves, and the log's, which goes on where it was cut. */

import { address, type Query } from './api'
import type { LogFrame, LogRecord } from './types'

export type SocketState = 'connecting' | 'open' | 'closed'

export interface SocketUser<T> {
  /** Where to connect, asked anew for each attempt. */
  where: () => { path: string; query?: Query }
  /** One frame has come. */
  took: (frame: T) => void
  state?: (state: SocketState) => void
  /** The gateway has refused several times in a row: perhaps the session has ended. */
  doubt?: () => void
}

const FIRST_WAIT = 500
const LONGEST_WAIT = 15_000

/** Connects, and again whenever the connection is lost. Gives what ends it. */
export function open<T>(user: SocketUser<T>): () => void {
  let socket: WebSocket | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let wait = FIRST_WAIT
  let failures = 0
  let ended = false

  function connect() {
    user.state?.('connecting')
    const { path, query } = user.where()
    const url = new URL(address(path, query), location.href)
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
    socket = new WebSocket(url)
    socket.onopen = () => {
      failures = 0
      wait = FIRST_WAIT
      user.state?.('open')
    }
    socket.onmessage = (event) => {
      if (!ended && typeof event.data === 'string') user.took(JSON.parse(event.data) as T)
    }
    socket.onclose = lost
  }

  function lost() {
    if (ended) return
    user.state?.('closed')
    failures += 1
    if (failures === 3) user.doubt?.()
    // Not all browsers at once after the gateway has restarted.
    timer = setTimeout(connect, wait * (0.75 + Math.random() / 2))
    wait = Math.min(wait * 2, LONGEST_WAIT)
  }

  connect()
  return () => {
    ended = true
    clearTimeout(timer)
    socket?.close()
  }
}

export interface LogReader {
  /** One plugin's lines; the gateway's own are `bkg`. */
  plugin?: string
  /** The least level. */
  level?: string
  /** Lines in order, a frame at a time. */
  records: (records: LogRecord[]) => void
  /** Lines that are lost: numbers inclusive, counted before filtering. */
  gap: (from: number, to: number, count: number) => void
  /** The numbers begin anew: the gateway has restarted. */
  anew?: () => void
  state?: (state: SocketState) => void
  doubt?: () => void
}

/** Follows the log. After a lost connection it resumes at the last line that came. */
export function followLogs(reader: LogReader): () => void {
  let epoch: string | undefined
  let after: number | undefined
  return open<LogFrame>({
    where: () => ({
      path: '/ws/logs',
      query: { plugin: reader.plugin, level: reader.level, epoch, after },
    }),
    state: reader.state,
    doubt: reader.doubt,
    took: (frame) => {
      switch (frame.type) {
        case 'hello':
          if (epoch !== undefined && epoch !== frame.epoch) {
            after = undefined
            reader.anew?.()
          }
          epoch = frame.epoch
          break
        case 'records':
          after = frame.records.at(-1)?.seq ?? after
          reader.records(frame.records)
          break
        case 'gap':
          after = frame.to
          reader.gap(frame.from, frame.to, frame.count)
      }
    },
  })
}
