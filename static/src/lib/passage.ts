/** Places in texts: the gateway counts bytes of UTF-8, and JavaScript does not. */

const encoder = new TextEncoder()
// A mark at the beginning of a text is a part of it.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** Bytes that `text` has as UTF-8. */
export function size(text: string): number {
  return encoder.encode(text).length
}

/** `text` before, in and after the bytes `start..end`. */
export function cut(text: string, start: number, end: number): { before: string; passage: string; after: string } {
  const bytes = encoder.encode(text)
  const from = Math.min(Math.max(start, 0), bytes.length)
  const to = Math.min(Math.max(end, from), bytes.length)
  const read = (a: number, b: number) => decoder.decode(bytes.subarray(a, b))
  return { before: read(0, from), passage: read(from, to), after: read(to, bytes.length) }
}
