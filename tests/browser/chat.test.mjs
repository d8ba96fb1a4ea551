/** Chat: asked, answered, cited, kept; and an answer that tries to do harm. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'

import { eventually, start } from './harness.mjs'

let gateway
before(async () => {
  gateway = await start()
  await gateway.useUpstream()
})
after(() => gateway?.stop())

const USER = { password: 'correct horse battery' }
let users = 0

/** A page of a new user's: conversations are each user's own. */
async function chatOf(options = {}, path = '/chat') {
  const user = `user${(users += 1)}`
  await gateway.api('POST', '/admin/users', { username: user, password: USER.password, scopes: ['llm.chat', 'brainml.query', 'brainml.stats'] })
  const page = await gateway.newPage(options)
  await page.enter(path, { user })
  await page.getByLabel('Message', { exact: true }).waitFor()
  return Object.assign(page, {
    user,
    async choose(model) {
      await page.getByLabel('Model', { exact: true }).selectOption(model)
    },
    async ask(text) {
      await page.getByLabel('Message', { exact: true }).fill(text)
      await page.getByLabel('Message', { exact: true }).press('Enter')
    },
    /** All answers. */
    answers: page.getByRole('log').locator('article').filter({ has: page.locator('.prose-md') }),
    /** The answer has ended. */
    async ended() {
      await page.getByRole('button', { name: 'Answer anew' }).waitFor()
    },
  })
}

const kept = (page) => eventually('it is kept', () => /\/chat\/.+/.test(page.url()))

test('an answer comes as Markdown, with its tokens, and code that can be copied', async () => {
  for (const look of [{}, { dark: true }, { narrow: true }]) {
    const page = await chatOf(look)
    await page.choose('fake')
    await page.ask('Hello?')
    await page.ended()
    const answer = page.answers.last()
    await answer.locator('strong', { hasText: 'fake' }).waitFor()
    await answer.locator('.hljs-keyword', { hasText: 'const' }).waitFor()
    await page.getByText('7 tokens read, 6 written').waitFor()
    await answer.getByRole('button', { name: 'Copy', exact: true }).first().click()
    await answer.getByRole('button', { name: 'Copied' }).first().waitFor()
    await kept(page)
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('chat')
    await page.done()
  }
})

test('the gateway’s own guide is quoted, and a source opens its passage', async () => {
  for (const narrow of [false, true]) {
    const page = await chatOf({ narrow })
    await page.choose('bkg-extract')
    await page.ask('How do I revoke a key?')
    await page.ended()
    await page.getByRole('button', { name: 'Source 1' }).first().waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('chat-sources')
    await page.getByRole('list', { name: 'Sources' }).getByRole('button').first().click()
    const mark = page.getByRole('dialog').locator('mark')
    await mark.waitFor()
    assert.match(await mark.innerText(), /revoke/)
    await eventually('the passage is in sight', () => mark.evaluate((mark) => {
      const { top, bottom } = mark.getBoundingClientRect()
      return bottom > 0 && top < innerHeight
    }))
    await page.checkAccess()
    await page.picture('chat-passage')
    await page.done()
  }
})

test('collections are offered to the model that answers from them alone', async () => {
  const page = await chatOf()
  await page.choose('fake')
  await page.getByRole('button', { name: 'Answers without collections' }).click()
  await page.getByText('Only bkg-extract answers from collections').waitFor()
  await page.getByRole('button', { name: 'Use bkg-extract' }).click()
  await page.getByRole('button', { name: 'All collections' }).click()
  await page.getByRole('checkbox', { name: /bkg/ }).check()
  await page.checkAccess()
  await page.getByRole('button', { name: '1 collection' }).press('Escape')
  await page.ask('How do I revoke a key?')
  await page.ended()
  await page.choose('fake')
  await page.ask('And you?')
  await eventually('both are answered', async () => (await page.answers.count()) === 2)
  await page.ended()
  assert.equal(gateway.upstream.asked.at(-1).retrieval, undefined)
  await page.done()
})

test('an answer is stopped, what has come of it is kept, and it can be had anew', async () => {
  const page = await chatOf()
  await page.choose('slow')
  await page.ask('Count.')
  await page.getByText('word3 ').waitFor()
  const left = gateway.upstream.left
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.ended()
  await eventually('the upstream is left', () => gateway.upstream.left > left)
  await kept(page)
  await page.reload()
  await page.getByText('word3 ').waitFor()
  await page.choose('fake')
  await page.getByRole('button', { name: 'Answer anew' }).click()
  await page.answers.last().locator('strong', { hasText: 'fake' }).waitFor()
  assert.equal(await page.answers.count(), 1)
  await page.done()
})

test('an answer goes on while its reader looks at another conversation', async () => {
  const page = await chatOf()
  await page.choose('slow')
  await page.ask('Count while I am away.')
  await kept(page)
  await page.getByRole('link', { name: 'New conversation' }).click()
  await page.getByText('What would you like to know?').waitFor()
  await page.getByRole('link', { name: /Count while I am away/ }).click()
  await page.getByText('word5 ').waitFor()
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.ended()
  await page.done()
})

test('a message is edited and sent again, with system prompt and settings', async () => {
  const page = await chatOf()
  await page.choose('fake')
  await page.getByRole('button', { name: 'Settings of the model' }).click()
  await page.getByLabel('System prompt').fill('Be brief.')
  await page.getByLabel('Temperature').fill('9')
  await page.getByText('From 0 to 2.').waitFor()
  await page.getByLabel('Temperature').fill('0.5')
  await page.getByLabel('Most tokens of an answer').fill('77')
  await page.checkAccess()
  await page.picture('chat-settings')
  await page.keyboard.press('Escape')
  await page.ask('First words')
  await page.ended()
  await page.getByRole('button', { name: 'Edit and send again' }).click()
  await page.getByText('The 1 message after it is replaced.').waitFor()
  await page.getByRole('textbox', { name: 'Edit and send again' }).fill('Second words')
  await page.getByRole('button', { name: 'Send again', exact: true }).click()
  await eventually('it is asked', () => gateway.upstream.asked.at(-1)?.messages.at(-1).content === 'Second words')
  await page.ended()
  const asked = gateway.upstream.asked.at(-1)
  assert.deepEqual(asked.messages.map((one) => one.content), ['Be brief.', 'Second words'])
  assert.equal(asked.temperature, 0.5)
  assert.equal(asked.max_tokens, 77)
  await kept(page)
  await page.reload()
  await page.getByRole('log').getByText('Second words').waitFor()
  assert.equal(await page.getByRole('log').getByText('First words').count(), 0)
  await page.done()
})

test('conversations are found, renamed, saved as files, and deleted', async () => {
  const page = await chatOf()
  await page.choose('fake')
  for (const words of ['About pears', 'About plums']) {
    await page.goto(`${gateway.url}/chat`)
    await page.getByLabel('Message', { exact: true }).waitFor()
    await page.ask(words)
    await page.ended()
    await kept(page)
  }
  const list = page.getByRole('navigation', { name: 'Conversations' })
  await page.getByRole('searchbox').fill('pears')
  await eventually('one is left', async () => (await list.getByRole('link').count()) === 1)
  await list.getByRole('link', { name: /About pears/ }).click()
  await page.getByRole('heading', { name: 'About pears' }).waitFor()
  await page.getByRole('searchbox').fill('')
  const actions = page.getByRole('button', { name: 'What to do with this conversation' })
  await actions.click()
  await page.checkAccess()
  await page.getByRole('button', { name: 'Rename' }).click()
  await page.getByLabel('Title').fill('Of <b>pears</b>')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByRole('heading', { name: 'Of <b>pears</b>' }).waitFor()
  await list.getByRole('link', { name: /Of <b>pears<\/b>/ }).waitFor()
  for (const [name, end] of [['Save as Markdown', '.md'], ['Save as JSON', '.json']]) {
    await actions.click()
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name }).click()])
    assert.ok(file.suggestedFilename().endsWith(end), file.suggestedFilename())
    assert.match(readFileSync(await file.path(), 'utf8'), /About pears/)
  }
  await actions.click()
  await page.getByRole('button', { name: 'Delete', exact: true }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click()
  await page.getByText('What would you like to know?').waitFor()
  await eventually('it is gone', async () => (await list.getByRole('link', { name: /pears/ }).count()) === 0)
  await page.done()
})

test('of two who change one conversation nobody loses a word', async () => {
  // A revision that is no longer the last is an answer of 409.
  const page = await chatOf({ allow: [/409/] })
  await page.choose('fake')
  await page.ask('Shared words')
  await page.ended()
  await kept(page)
  const other = await page.context().newPage()
  await other.goto(page.url())
  await other.getByText('Shared words').first().waitFor()
  await other.getByLabel('Message', { exact: true }).fill('Words of the other')
  await other.getByLabel('Message', { exact: true }).press('Enter')
  await eventually('the other is answered', async () => (await other.locator('.prose-md').count()) === 2)
  await other.getByRole('button', { name: 'Answer anew' }).waitFor()
  // Kept, too: the next one who reads it sees both.
  const third = await page.context().newPage()
  await eventually('it is kept', async () => {
    await third.goto(page.url())
    await third.getByText('Shared words').first().waitFor()
    return (await third.locator('.prose-md').count()) === 2
  })
  await page.ask('My own words')
  await page.getByText('changed or deleted elsewhere').waitFor()
  await page.checkAccess()
  const before = page.url()
  await page.getByRole('button', { name: 'Keep this as a copy' }).click()
  await eventually('the copy has an address of its own', () => page.url() !== before)
  await page.reload()
  await page.getByText('My own words').first().waitFor()
  assert.equal(await page.getByText('Words of the other').count(), 0)
  await page.done()
})

test('a hostile answer does nothing', async () => {
  for (const narrow of [false, true]) {
    const page = await chatOf({ narrow })
    await page.choose('hostile')
    await page.ask('Harm me. <img src=x onerror="window.owned = 9">')
    await page.ended()
    const answer = page.answers.last()
    await answer.getByText('window.owned = 8').waitFor()
    const found = await answer.evaluate((node) => ({
      owned: window.owned,
      bad: [...node.querySelectorAll('script, style, iframe, form, svg, img, base, input, object, embed')].map((one) => one.outerHTML).filter((html) => !html.includes('lucide')),
      handlers: [...node.querySelectorAll('*')].flatMap((one) => [...one.attributes].filter(({ name }) => name.startsWith('on') || name === 'style').map(({ name }) => name)),
      pictures: node.querySelectorAll('[src], [srcset]').length,
      links: [...node.querySelectorAll('.prose-md a')].map((one) => [one.protocol, one.rel, one.target]),
    }))
    assert.equal(found.owned, undefined)
    assert.deepEqual(found.bad, [])
    assert.deepEqual(found.handlers, [])
    assert.equal(found.pictures, 0)
    assert.ok(found.links.length > 0)
    for (const [protocol, rel, target] of found.links) {
      assert.match(protocol, /^(https?|mailto):$/)
      assert.match(rel, /noopener/)
      assert.equal(target, '_blank')
    }
    await page.checkWidth()
    await page.picture('chat-hostile')
    await page.done()
  }
})

test('a request that fails says why, names itself, and can be tried again', async () => {
  const page = await chatOf({ allow: [/50[0-9]|400/] })
  await page.choose('fake')
  let broken = true
  await page.route('**/v1/chat/completions', (route) =>
    broken
      ? route.fulfill({
          status: 503,
          contentType: 'application/json',
          headers: { 'x-request-id': 'req_told' },
          body: JSON.stringify({ error: { message: 'no upstream is left', type: 'server_error', param: null, code: null } }),
        })
      : route.continue(),
  )
  await page.ask('Hello?')
  await page.getByRole('alert').getByText('no upstream is left').waitFor()
  await page.getByText('Request req_told').waitFor()
  broken = false
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.answers.last().locator('strong', { hasText: 'fake' }).waitFor()
  await page.done()
})

test('the page speaks German', async () => {
  const page = await gateway.newPage({ language: 'de-DE', narrow: true })
  await page.goto(`${gateway.url}/chat`)
  await page.getByLabel('Benutzer', { exact: true }).fill('admin')
  await page.getByLabel('Passwort', { exact: true }).fill(USER.password)
  await page.getByRole('button', { name: 'Anmelden' }).click()
  await page.getByText('Was möchten Sie wissen?').waitFor()
  await page.getByRole('button', { name: 'Unterhaltungen' }).click()
  await page.getByRole('link', { name: 'Neue Unterhaltung' }).waitFor()
  await page.checkWidth()
  await page.done()
})
