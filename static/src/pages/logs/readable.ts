/** A log line as text, in which nothing hides: what would move the cursor or turn the text is shown as a sign. */

import type { LogRecord } from '../../lib/types'

// Control characters but for the tab, and what changes the direction of the text after it.
const UNSEEN = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

/** The message and the fields beside it. */
export function readable(record: LogRecord): string {
  const fields = Object.entries(record.fields ?? {})
  const told = fields.filter(([name]) => name !== 'target').map(([name, value]) => `${name}=${value}`)
  return [record.message, ...told].join('  ').replace(UNSEEN, sign)
}

function sign(letter: string): string {
  const code = letter.charCodeAt(0)
  if (code < 0x20) return String.fromCharCode(0x2400 + code)
  return code === 0x7f ? '␡' : '�'
}
