/**
 * A model server that is none: it answers at once (`fake`), a word at a time (`slow`), with hostile
 * Markdown (`hostile`), or with an error that wants to be a page (`failing`).
 */

import { createServer } from 'node:http'

export const HOSTILE = [
  '# Hello <script>window.owned = 1</script>',
  '<img src=x onerror="window.owned = 2">',
  '[a link](javascript:window.owned=3) and [another](data:text/html,<script>window.owned=4</script>)',
  '<svg onload="window.owned = 5"></svg><iframe srcdoc="<script>parent.owned = 6</script>"></iframe>',
  '<form action="https://example.invalid"><input name=q><button>press</button></form>',
  '<a href="https://example.invalid" target="_blank" onclick="window.owned=7">out</a>',
  '<style>body { display: none }</style><base href="https://example.invalid/">',
  '```html\n<script>window.owned = 8</script>\n```',
  '![picture](https://example.invalid/track.png)',
  '![drawing](data:image/svg+xml,<svg/onload=window.owned=10>) ![local](/auth/logout)',
  `|${' column |'.repeat(60)}\n|${' --- |'.repeat(60)}\n${`|${' cell |'.repeat(60)}\n`.repeat(40)}`,
  `${'>'.repeat(300)} deep`,
  'x'.repeat(2000),
].join('\n\n')

/** What it says for `failing`, and the gateway logs. */
export const HOSTILE_ERROR = '<img src=x onerror="window.owned=1"><script>window.owned=2</script>\u001b[31m\nERROR forged\u202e'

const ANSWERS = {
  fake: ['Hello', ' from', ' the', ' **fake**', ' model.', '\n\n```js\nconst one = 1\n```\n'],
  slow: Array.from({ length: 400 }, (_, at) => `word${at} `),
  hostile: HOSTILE.match(/[\s\S]{1,7}/g),
  failing: [],
}

/** Starts it on a free port. `asked` has the bodies of all requests, `left` how many readers went away. */
export async function startUpstream() {
  const asked = []
  const state = { left: 0 }
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    if (!request.url.endsWith('/chat/completions')) {
      response.writeHead(200, { 'content-type': 'application/json' })
      return response.end(JSON.stringify({ object: 'list', data: Object.keys(ANSWERS).map((id) => ({ id, object: 'model' })) }))
    }
    const body = JSON.parse(text)
    asked.push(body)
    if (body.model === 'failing') {
      response.writeHead(500, { 'content-type': 'application/json' })
      return response.end(JSON.stringify({ error: { message: HOSTILE_ERROR } }))
    }
    const words = ANSWERS[body.model] ?? ANSWERS.fake
    const usage = { prompt_tokens: 7, completion_tokens: words.length, total_tokens: 7 + words.length }
    const head = { id: 'chatcmpl-fake', created: 1, model: body.model }
    if (!body.stream) {
      const message = { role: 'assistant', content: words.join('') }
      response.writeHead(200, { 'content-type': 'application/json' })
      return response.end(
        JSON.stringify({ ...head, object: 'chat.completion', usage, choices: [{ index: 0, message, finish_reason: 'stop' }] }),
      )
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.on('close', () => response.writableFinished || (state.left += 1))
    const say = (rest) => response.write(`data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', ...rest })}\n\n`)
    say({ choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] })
    for (const content of words) {
      if (response.destroyed) return
      say({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })
      if (body.model === 'slow') await new Promise((done) => setTimeout(done, 50))
    }
    say({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
    if (body.stream_options?.include_usage) say({ choices: [], usage })
    response.end('data: [DONE]\n\n')
  })
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  return {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    models: Object.keys(ANSWERS),
    asked,
    get left() {
      return state.left
    },
    stop() {
      server.closeAllConnections()
      return new Promise((done) => server.close(done))
    },
  }
}
