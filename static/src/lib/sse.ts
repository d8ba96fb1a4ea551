/** Streamed chat completions: `data:` lines until `[DONE]`, ended by an abort or an error inside. */

import { send, told } from './api'
import type { ChatChunk, ChatRequest } from './types'

/**
 * The chunks of an answer as they come. Aborting `signal` ends the work on the gateway too.
 *
 * @throws ApiError where the gateway refuses, or breaks off with an error.
 */
export async function* chat(body: ChatRequest, signal: AbortSignal): AsyncGenerator<ChatChunk> {
  const response = await send('POST', '/v1/chat/completions', { body: { ...body, stream: true }, signal })
  if (!response.body) return
  for await (const data of events(response.body)) {
    if (data === '[DONE]') return
    const chunk: unknown = JSON.parse(data)
    const error = told(chunk, 0, response.headers.get('x-request-id'))
    if (error) throw error
    yield chunk as ChatChunk
  }
}

/** The data of each event in a stream of server-sent events. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const blocks = (rest + value).split(/\r?\n\r?\n/)
      rest = blocks.pop() ?? ''
      for (const block of blocks) {
        const data = dataOf(block)
        if (data) yield data
      }
    }
  } finally {
    // Whoever stops reading wants no more of it.
    await reader.cancel().catch(() => {})
  }
}

function dataOf(block: string): string {
  const lines = block.split(/\r?\n/).filter((line) => line.startsWith('data:'))
  return lines.map((line) => line.slice(5).trimStart()).join('\n')
}
