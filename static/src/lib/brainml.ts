/** Collections, documents and search, as `/brainml` tells them. */

import { get, part, post, put, remove } from './api'

export interface Stats {
  name: string
  documents: number
  chunks: number
  /** Chunks that have a vector in the index. */
  vectors: number
  revision: number
  /** Bytes of the documents' text. */
  bytes: number
  /** A leg of the search is missing or behind the revision. */
  degraded: boolean
  model: string | null
}

export interface Document {
  id: string
  title?: string
  text: string
  metadata?: Record<string, unknown>
}

export interface DocumentEntry {
  id: string
  title?: string
  /** Bytes of its text. */
  bytes: number
  chunks: number
  revision: number
  metadata: Record<string, unknown>
}

export interface DocumentPage {
  documents: DocumentEntry[]
  /** What `after` must be to go on. */
  next: string | null
}

export interface Chunk {
  chunk_id: string
  /** In bytes of UTF-8, as `end`. */
  start: number
  end: number
  text: string
  embedded: boolean
}

export type Mode = 'hybrid' | 'lexical' | 'vector'
export type Group = 'chunk' | 'document'

export interface Question {
  query: string
  top_k: number
  mode: Mode
  group: Group
  explain: boolean
}

export interface Hit {
  collection: string
  document_id: string
  chunk_id: string
  score: number
  text: string
  start: number
  end: number
  title?: string
  lexical_rank?: number
  vector_rank?: number
  cosine?: number
  explanation?: {
    lexical: number | null
    lexical_scaled: number | null
    vector: number | null
    vector_scaled: number | null
    /** Each of the query's words that the chunk has, with its share of the BM25 score. */
    terms: [string, number][]
  }
}

export interface Results {
  results: Hit[]
  revision: number
  degraded: boolean
}

/** A passage of a document, in bytes of UTF-8. */
export interface Place {
  collection: string
  id: string
  start?: number
  end?: number
}

/** Bytes of a document's text that the gateway takes. */
export const LONGEST_TEXT = 4 << 20


const at = (name: string) => `/brainml/collections/${part(name)}`
const document = (name: string, id: string) => `${at(name)}/documents/${part(id)}`

export const brainml = {
  collections: () => get<{ collections: Stats[] }>('/brainml/collections').then((answer) => answer.collections),
  stats: (name: string) => get<Stats>(at(name)),
  create: (name: string) => put<Stats>(at(name), {}),
  remove: (name: string) => remove(at(name)),
  documents: (name: string, wish: { query?: string; after?: string | null; limit?: number }, signal?: AbortSignal) =>
    get<DocumentPage>(`${at(name)}/documents`, { query: wish, signal }),
  document: (name: string, id: string) => get<Document>(document(name, id)),
  chunks: (name: string, id: string) => get<{ chunks: Chunk[] }>(`${document(name, id)}/chunks`).then((answer) => answer.chunks),
  forget: (name: string, id: string) => remove(document(name, id)),
  index: (name: string, documents: Document[], signal?: AbortSignal) =>
    post<{ indexed: number; revision: number }>(`${at(name)}/documents`, { documents }, { signal }),
  query: (name: string, question: Question, signal?: AbortSignal) => post<Results>(`${at(name)}/query`, question, { signal }),
}
