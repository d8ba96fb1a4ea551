/** Short messages at the edge of the page, read aloud by screen readers. */

import { fault } from './fault'

export interface Toast {
  id: number
  tone: 'good' | 'bad'
  text: string
  detail?: string
}

let next = 0
const list = $state<Toast[]>([])

export const toasts = {
  get all() {
    return list
  },
  good(text: string) {
    show({ tone: 'good', text }, 4000)
  },
  /** Says what went wrong, with the id of the request. */
  bad(error: unknown) {
    const { text, detail } = fault(error)
    show({ tone: 'bad', text, detail }, 10_000)
  },
  close(id: number) {
    const at = list.findIndex((toast) => toast.id === id)
    if (at >= 0) list.splice(at, 1)
  },
}

function show(toast: Omit<Toast, 'id'>, ms: number) {
  const id = next++
  list.push({ id, ...toast })
  setTimeout(() => toasts.close(id), ms)
}
