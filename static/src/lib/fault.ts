/** An error in words for people. */

import { ApiError, Unreachable } from './api'
import { t } from './i18n.svelte'

/** What went wrong, and the id of the request where there is one. */
export function fault(error: unknown): { text: string; detail?: string } {
  if (error instanceof Unreachable) return { text: t('errors.unreachable') }
  if (!(error instanceof ApiError)) return { text: error instanceof Error ? error.message : String(error) }
  const wait = error.retryAfter ? ` ${t('errors.retry', { n: error.retryAfter })}` : ''
  const text = `${error.message}${wait}`
  return error.requestId ? { text, detail: t('errors.request', { id: error.requestId }) } : { text }
}
