/** Conversations as the gateway keeps them, and the list of the reader's own. */

import { get, part, post, put, remove } from '../../lib/api'
import type { Citation, Usage } from '../../lib/types'

export interface Said {
  role: 'user' | 'assistant' | 'system'
  content: string
  annotations?: Citation[]
  /** The model that answered. */
  model?: string
  usage?: Usage
  created_at?: string
}

export interface Sampling {
  temperature?: number
  top_p?: number
  max_tokens?: number
}

export interface Draft {
  title?: string
  model?: string
  system?: string
  settings: Sampling
  collections: string[]
  messages: Said[]
  /** The revision that was read, and is replaced. */
  revision?: number
}

export interface Conversation {
  id: string
  revision: number
  title: string
  model: string | null
  system: string | null
  settings: Sampling
  collections: string[]
  messages: Said[]
  created_at: string
  updated_at: string
}

export interface Entry {
  id: string
  title: string
  updated_at: string
  excerpt?: string
}

const at = (id: string) => `/conversations/${part(id)}`

export const conversations = {
  read: (id: string) => get<Conversation>(at(id)),
  create: (draft: Draft) => post<Conversation>('/conversations', draft),
  replace: (id: string, draft: Draft) => put<Conversation>(at(id), draft),
  remove: (id: string) => remove(at(id)),
  /** Where it is had as a file. */
  file: (id: string, format: 'markdown' | 'json') => `${at(id)}/export?format=${format}`,
}

/** The reader's conversations, the one that was changed last first. */
export class List {
  entries = $state.raw<Entry[]>([])
  next = $state<string | null>(null)
  loading = $state(true)
  error = $state<unknown>(null)
  #query = ''
  #asking: AbortController | undefined

  /** Loads it from its beginning, or goes on. */
  async load(query: string, before: string | null = null) {
    this.#asking?.abort()
    const mine = (this.#asking = new AbortController())
    this.#query = query
    this.loading = true
    this.error = null
    try {
      const wish = { query: { query, before }, signal: mine.signal }
      const page = await get<{ conversations: Entry[]; next: string | null }>('/conversations', wish)
      this.entries = before === null ? page.conversations : [...this.entries, ...page.conversations]
      this.next = page.next
    } catch (error) {
      if (mine.signal.aborted) return
      this.error = error
    }
    if (this.#asking === mine) this.loading = false
  }

  /** One was made or changed: it is the first now. */
  put({ id, title, updated_at }: Conversation) {
    if (this.#query) return
    this.entries = [{ id, title, updated_at }, ...this.entries.filter((one) => one.id !== id)]
  }

  drop(id: string) {
    this.entries = this.entries.filter((one) => one.id !== id)
  }
}
