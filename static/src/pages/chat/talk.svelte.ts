/** One conversation: what is said in it, the answer that is being written, and how it is kept. */

import { ApiError } from '../../lib/api'
import { chat } from '../../lib/sse'
import type { ChatMessage, ChatRequest, Usage } from '../../lib/types'
import { conversations, type Conversation, type Draft, type Said, type Sampling } from './conversations.svelte'

/** Milliseconds between two looks at an answer that is growing. */
const FRAME = 40

/** Answers that are being written, also while their reader looks elsewhere. */
export const running = new Map<string, Talk>()

export class Talk {
  id = $state<string | null>(null)
  title = $state('')
  model = $state('')
  system = $state('')
  settings = $state<Sampling>({})
  collections = $state<string[]>([])
  messages = $state<Said[]>([])
  /** An answer is being written. */
  busy = $state(false)
  /** Why there is no answer. */
  error = $state<unknown>(null)
  /** Why it is not kept. */
  unsaved = $state<unknown>(null)
  /** Someone else has changed or deleted it meanwhile. */
  conflict = $state(false)
  /** The answer ended at its limit of tokens. */
  cut = $state(false)
  kept: (as: Conversation) => void = () => {}

  #revision: number | undefined
  #named = false
  #abort: AbortController | undefined
  #saving: Promise<void> = Promise.resolve()

  static from(it: Conversation): Talk {
    const talk = new Talk()
    talk.take(it)
    return talk
  }

  take(it: Conversation) {
    this.#revision = it.revision
    this.#named = true
    this.id = it.id
    this.title = it.title
    this.model = it.model ?? this.model
    this.system = it.system ?? ''
    this.settings = it.settings
    this.collections = it.collections
    this.messages = it.messages
    this.conflict = false
    this.unsaved = null
    this.error = null
  }

  /** Says something, and has it answered. */
  async ask(text: string, retrieval: boolean) {
    this.messages.push({ role: 'user', content: text, created_at: new Date().toISOString() })
    void this.save()
    await this.answer(retrieval)
  }

  /** Says something else in the place of message `at`; what came after it is gone. */
  async edit(at: number, text: string, retrieval: boolean) {
    this.messages = this.messages.slice(0, at)
    await this.ask(text, retrieval)
  }

  /** Answers what was said last, in the place of an answer that is there already. */
  async answer(retrieval: boolean) {
    if (this.busy) return
    if (this.messages.at(-1)?.role === 'assistant') this.messages.pop()
    const request = this.#request(retrieval)
    this.messages.push({ role: 'assistant', content: '', model: this.model, created_at: new Date().toISOString() })
    this.busy = true
    this.error = null
    this.cut = false
    const abort = (this.#abort = new AbortController())
    try {
      await this.#write(request, abort.signal)
    } catch (error) {
      if (!abort.signal.aborted) this.error = error
    }
    this.busy = false
    if (this.messages.at(-1)?.content === '') this.messages.pop()
    await this.save()
    if (this.id) running.delete(this.id)
  }

  stop() {
    this.#abort?.abort()
  }

  async #write(request: ChatRequest, signal: AbortSignal) {
    const answer = this.messages.at(-1)
    if (!answer) return
    let text = ''
    let timer: ReturnType<typeof setTimeout> | undefined
    const show = () => {
      timer = undefined
      answer.content = text
    }
    try {
      for await (const chunk of chat(request, signal)) {
        const [choice] = chunk.choices
        text += choice?.delta.content ?? ''
        if (choice?.delta.annotations?.length) answer.annotations = choice.delta.annotations
        if (choice?.finish_reason === 'length') this.cut = true
        if (chunk.usage) answer.usage = counted(chunk.usage)
        timer ??= setTimeout(show, FRAME)
      }
    } finally {
      clearTimeout(timer)
      show()
    }
  }

  #request(retrieval: boolean): ChatRequest {
    const system: ChatMessage[] = this.system.trim() ? [{ role: 'system', content: this.system }] : []
    const said = this.messages.map(({ role, content }) => ({ role, content }))
    return {
      model: this.model,
      messages: [...system, ...said],
      stream_options: { include_usage: true },
      ...this.settings,
      ...(retrieval && this.collections.length ? { retrieval: { collections: this.collections } } : {}),
    }
  }

  #draft(): Draft {
    // An answer that has no words yet is none.
    const messages = $state.snapshot(this.messages).filter((said) => said.content !== '' || said.role !== 'assistant')
    return {
      ...(this.#named ? { title: this.title } : {}),
      ...(this.model ? { model: this.model } : {}),
      ...(this.system ? { system: this.system } : {}),
      settings: $state.snapshot(this.settings),
      collections: $state.snapshot(this.collections),
      messages,
      ...(this.#revision === undefined ? {} : { revision: this.#revision }),
    }
  }

  /** Keeps it as it is now; one at a time, for each names the revision that it replaces. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#save())
    return this.#saving
  }

  async #save() {
    if (this.conflict || this.messages.length === 0) return
    this.unsaved = null
    try {
      const { id } = this
      const kept = id === null ? await conversations.create(this.#draft()) : await conversations.replace(id, this.#draft())
      this.#revision = kept.revision
      this.#named = true
      this.title = kept.title
      this.id = kept.id
      if (this.busy) running.set(kept.id, this)
      this.kept(kept)
    } catch (error) {
      if (error instanceof ApiError && this.id !== null && [404, 409].includes(error.status)) this.conflict = true
      else this.unsaved = error
    }
  }

  /** Names it. */
  async rename(title: string) {
    const before = this.title
    this.title = title
    this.#named = title !== ''
    await this.save()
    if (this.unsaved) this.title = before
  }

  /** Lets the other version stand, and keeps this one beside it. */
  async keepCopy() {
    this.id = null
    this.#revision = undefined
    this.conflict = false
    await this.save()
  }
}

/** What is kept of the tokens: the numbers that are shown. */
function counted({ prompt_tokens, completion_tokens, total_tokens }: Usage): Usage {
  return { prompt_tokens, completion_tokens, total_tokens }
}
