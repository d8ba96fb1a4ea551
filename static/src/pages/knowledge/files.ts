/** Files as documents: text and Markdown whole, JSON lines one document a line. */

import { LONGEST_TEXT, type Document } from '../../lib/brainml'
import { t } from '../../lib/i18n.svelte'

/** Bytes of a file of JSON lines: all of it is held in memory. */
const LONGEST_FILE = 256 << 20
/** Characters of a title that is taken from a heading; the gateway takes 1 KiB. */
const LONGEST_TITLE = 200

/** A file that cannot be a document, in words for its owner. */
export class Unfit extends Error {}

/**
 * The documents that a file holds.
 *
 * @throws Unfit with the reason.
 */
export async function documentsOf(file: File): Promise<Document[]> {
  const lines = /\.(jsonl|ndjson)$/i.test(file.name)
  const most = lines ? LONGEST_FILE : LONGEST_TEXT
  if (file.size > most) throw new Unfit(t('upload.tooLarge', { most: most >> 20 }))
  const text = await textOf(file)
  if (lines) return jsonLines(text)
  if (text.trim() === '') throw new Unfit(t('upload.empty'))
  return [whole(file, text)]
}

async function textOf(file: File): Promise<string> {
  const bytes = await file.arrayBuffer().catch(() => {
    throw new Unfit(t('upload.unreadable'))
  })
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    if (text.includes('\0')) throw new Unfit(t('upload.binary'))
    return text
  } catch (error) {
    if (error instanceof Unfit) throw error
    throw new Unfit(t(new Uint8Array(bytes).subarray(0, 8192).includes(0) ? 'upload.binary' : 'upload.notUtf8'))
  }
}

function whole(file: File, text: string): Document {
  const id = file.webkitRelativePath || file.name
  const heading = /\.(md|markdown)$/i.test(file.name) ? /^#{1,6}\s+(.+)$/m.exec(text)?.[1] : undefined
  const title = (heading ?? file.name.replace(/\.[^.]+$/, '')).trim()
  return { id, title: [...title].slice(0, LONGEST_TITLE).join(''), text }
}

function jsonLines(text: string): Document[] {
  const lines = text.split('\n').map((line, at) => ({ line: line.trim(), number: at + 1 }))
  const documents = lines.filter(({ line }) => line !== '').map(({ line, number }) => documentOf(line, number))
  if (documents.length === 0) throw new Unfit(t('upload.empty'))
  return documents
}

function documentOf(line: string, number: number): Document {
  let said: unknown
  try {
    said = JSON.parse(line)
  } catch {
    throw new Unfit(t('upload.notJson', { line: number }))
  }
  const { id, _id, text, title, metadata } = (said ?? {}) as Record<string, unknown>
  const key = id ?? _id
  if (typeof key !== 'string' || typeof text !== 'string') throw new Unfit(t('upload.noDocument', { line: number }))
  const document: Document = { id: key, text }
  if (typeof title === 'string') document.title = title
  if (typeof metadata === 'object' && metadata !== null) document.metadata = metadata as Record<string, unknown>
  return document
}
