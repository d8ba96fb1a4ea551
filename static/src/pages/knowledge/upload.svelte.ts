/** Sends files to a collection, a request at a time, and knows how far each of them has come. */

import { ApiError } from '../../lib/api'
import { brainml, type Document } from '../../lib/brainml'
import { fault } from '../../lib/fault'
import { t } from '../../lib/i18n.svelte'
import { size } from '../../lib/passage'
import { documentsOf } from './files'

// Far below what the gateway takes: each answer is a step that its owner sees.
const DOCUMENTS = 100
const BYTES = 1 << 20

const PATIENCE = 5
const LONGEST_WAIT = 60

export interface Row {
  file: File
  state: 'waiting' | 'sending' | 'done' | 'failed'
  /** Documents that it holds, once it is read. */
  documents: number
  indexed: number
  error: string | null
}

interface Item {
  row: Row
  document: Document
}

export class Uploads {
  rows = $state<Row[]>([])
  running = $state(false)
  /** Seconds that the gateway asks to wait. */
  waiting = $state(0)
  #stop = new AbortController()

  constructor(
    readonly collection: string,
    readonly changed: () => void,
  ) {}

  get indexed(): number {
    return this.rows.reduce((sum, row) => sum + row.indexed, 0)
  }

  get finished(): number {
    return this.rows.filter((row) => row.state === 'done' || row.state === 'failed').length
  }

  get failed(): Row[] {
    return this.rows.filter((row) => row.state === 'failed')
  }

  add(files: Iterable<File>) {
    for (const file of files) this.rows.push({ file, state: 'waiting', documents: 0, indexed: 0, error: null })
    void this.#run()
  }

  retry() {
    for (const row of this.failed) Object.assign(row, { state: 'waiting', documents: 0, indexed: 0, error: null })
    void this.#run()
  }

  stop() {
    this.#stop.abort()
  }

  clear() {
    if (!this.running) this.rows = []
  }

  async #run() {
    if (this.running) return
    this.running = true
    this.#stop = new AbortController()
    try {
      await this.#sendAll()
    } catch (error) {
      const text = this.#stop.signal.aborted ? t('upload.stopped') : fault(error).text
      for (const row of this.rows) if (row.state === 'waiting' || row.state === 'sending') fail(row, text)
    }
    this.running = false
    this.changed()
  }

  async #sendAll() {
    let batch: Item[] = []
    let bytes = 0
    const flush = async () => {
      if (batch.length) await this.#send(batch)
      batch = []
      bytes = 0
    }
    // More may be added meanwhile.
    for (let row = this.#next(); row; row = this.#next()) {
      for (const document of await this.#read(row)) {
        const length = size(document.text)
        if (batch.length >= DOCUMENTS || (batch.length && bytes + length > BYTES)) await flush()
        batch.push({ row, document })
        bytes += length
      }
      if (!this.#next()) await flush()
    }
  }

  #next(): Row | undefined {
    return this.rows.find((row) => row.state === 'waiting')
  }

  async #read(row: Row): Promise<Document[]> {
    this.#stop.signal.throwIfAborted()
    row.state = 'sending'
    try {
      const documents = await documentsOf(row.file)
      row.documents = documents.length
      return documents
    } catch (error) {
      fail(row, fault(error).text)
      return []
    }
  }

  /** Sends a batch; one that is refused is halved until it is known which document is at fault. */
  async #send(batch: Item[]) {
    try {
      await this.#index(batch.map((item) => item.document))
      for (const { row } of batch) count(row)
    } catch (error) {
      if (!(error instanceof ApiError) || ![400, 413, 422].includes(error.status)) throw error
      const [only] = batch
      if (batch.length === 1 && only) return fail(only.row, t('upload.refused', { id: only.document.id, reason: error.message }))
      const half = batch.length >> 1
      await this.#send(batch.slice(0, half))
      await this.#send(batch.slice(half))
    }
  }

  async #index(documents: Document[]) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await brainml.index(this.collection, documents, this.#stop.signal)
      } catch (error) {
        const wait = error instanceof ApiError ? error.retryAfter : null
        if (wait === null || wait > LONGEST_WAIT || attempt === PATIENCE) throw error
        await this.#rest(wait)
      }
    }
  }

  async #rest(seconds: number) {
    this.waiting = seconds
    const { signal } = this.#stop
    await new Promise<void>((done) => {
      const timer = setTimeout(done, seconds * 1000)
      signal.addEventListener('abort', () => (clearTimeout(timer), done()), { once: true })
    })
    this.waiting = 0
    signal.throwIfAborted()
  }
}

function count(row: Row) {
  row.indexed += 1
  if (row.indexed === row.documents && row.state === 'sending') row.state = 'done'
}

function fail(row: Row, error: string) {
  row.state = 'failed'
  row.error ??= error
}
