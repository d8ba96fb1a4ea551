/** A trace as rows of a waterfall. */

import { grouped } from '../../lib/grouped'
import type { Trace, TraceSpan, TraceSummary } from '../../lib/admin'

export interface Row {
  span: TraceSpan
  /** How many spans are above it. */
  depth: number
}

/** The spans as a tree, each below the one that it is part of, in the order in which they began. */
export function rows(trace: Trace): Row[] {
  const ids = new Set(trace.spans.map((span) => span.span_id))
  const below = grouped(trace.spans, (span) => (span.parent_id !== null && ids.has(span.parent_id) ? span.parent_id : ''))
  const found: Row[] = []
  const seen = new Set<string>()
  const add = (parent: string, depth: number) => {
    for (const span of (below.get(parent) ?? []).toSorted((one, other) => one.start_us - other.start_us)) {
      if (seen.has(span.span_id)) continue
      seen.add(span.span_id)
      found.push({ span, depth })
      add(span.span_id, depth + 1)
    }
  }
  add('', 0)
  return found
}

/** Whether it is of these pages: they look at the gateway all the time. */
export function isOwn(trace: TraceSummary): boolean {
  return trace.method === 'GET' && /^\/(admin|auth|metrics|openapi\.json|ws)\b/.test(trace.route ?? '')
}

export function toneOf(status: number): 'good' | 'warn' | 'bad' | 'plain' {
  if (status >= 500) return 'bad'
  if (status >= 400) return 'warn'
  return status >= 200 ? 'good' : 'plain'
}

/** How wide a bar is, so that the shortest is still seen. */
export function barOf(value: number, most: number): string {
  return `${Math.max(0.5, (value / most) * 100).toFixed(2)}%`
}
