/** The gateway's API: typed answers, typed errors, the session cookie, and who to tell when it ends. */

/** What the gateway says of a request that it refuses. Source: OpenAI's envelope `{"error":{…}}`. */
export class ApiError extends Error {
  constructor(
    /** The HTTP status; 0 inside a stream that had begun. */
    readonly status: number,
    message: string,
    /** A machine-readable code, such as `totp_required`. */
    readonly code: string | null,
    /** The parameter at fault. */
    readonly param: string | null,
    /** What to name when asking an operator about it. */
    readonly requestId: string | null,
    /** Seconds after which it may be tried again. */
    readonly retryAfter: number | null,
  ) {
    super(message)
    this.name = 'ApiError'
  }
}

/** The gateway did not answer at all. */
export class Unreachable extends Error {
  constructor(cause: unknown) {
    super('unreachable', { cause })
    this.name = 'Unreachable'
  }
}

export type Query = Record<string, string | number | boolean | null | undefined>

export interface Wish {
  /** Sent as JSON. */
  body?: unknown
  query?: Query
  signal?: AbortSignal
  /** A 401 is an answer here, and does not end the session. */
  judging?: boolean
}

let sessionEnded: () => void = () => {}

/** Says whom to tell when the gateway no longer knows this browser. */
export function whenSessionEnds(tell: () => void) {
  sessionEnded = tell
}

/** `path` with the parts of `query` that say something. */
export function address(path: string, query: Query = {}): string {
  const said = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '')
  const text = new URLSearchParams(said.map(([name, value]) => [name, String(value)])).toString()
  return text ? `${path}?${text}` : path
}

/** Sends a request and gives the answer as it comes, once it is a success. */
export async function send(method: string, path: string, wish: Wish = {}): Promise<Response> {
  const init: RequestInit = { method, credentials: 'same-origin', headers: { accept: 'application/json' } }
  if (wish.signal) init.signal = wish.signal
  if (wish.body !== undefined) {
    init.body = JSON.stringify(wish.body)
    init.headers = { ...init.headers, 'content-type': 'application/json' }
  }
  const response = await fetch(address(path, wish.query), init).catch((cause: unknown) => {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
    throw new Unreachable(cause)
  })
  if (response.ok) return response
  if (response.status === 401 && !wish.judging) sessionEnded()
  throw await refusal(response)
}

/** Sends a request and reads its answer as JSON. */
export async function call<T>(method: string, path: string, wish: Wish = {}): Promise<T> {
  const response = await send(method, path, wish)
  if (response.status === 204) return undefined as T
  return (await response.json()) as T
}

export const get = <T>(path: string, wish?: Wish) => call<T>('GET', path, wish)
export const post = <T>(path: string, body: unknown = {}, wish?: Wish) => call<T>('POST', path, { ...wish, body })
export const put = <T>(path: string, body: unknown, wish?: Wish) => call<T>('PUT', path, { ...wish, body })
export const patch = <T>(path: string, body: unknown, wish?: Wish) => call<T>('PATCH', path, { ...wish, body })
export const remove = <T = void>(path: string, wish?: Wish) => call<T>('DELETE', path, wish)

/** One part of a path, whatever it is made of. */
export const part = encodeURIComponent

async function refusal(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null)
  const wait = Number(response.headers.get('retry-after'))
  const id = response.headers.get('x-request-id')
  return told(body, response.status, id, wait > 0 ? wait : null) ?? bare(response, id)
}

function bare(response: Response, id: string | null) {
  const text = response.statusText || `HTTP ${response.status}`
  return new ApiError(response.status, text, null, null, id, null)
}

/** The error that `body` is, if it is one. */
export function told(body: unknown, status = 0, id: string | null = null, wait: number | null = null) {
  const error = field(body, 'error')
  const message = field(error, 'message')
  if (typeof message !== 'string') return null
  const text = (name: string) => {
    const value = field(error, name)
    return typeof value === 'string' ? value : null
  }
  return new ApiError(status, message, text('code'), text('param'), id, wait)
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}
