/** The first page: an empty gateway leads to its first answer, and each step is done when it is done. */

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { PASSWORD, eventually, start } from './harness.mjs'

let gateway
before(async () => (gateway = await start()))
after(() => gateway?.stop())

const step = (page, title) => page.getByRole('listitem').filter({ hasText: title })

test('an empty gateway gives its first answer, and the step is done', async () => {
  const page = await gateway.newPage()
  await page.enter('/')
  await step(page, 'Ask the built-in guide: to do').getByRole('link', { name: 'Ask it' }).click()
  const box = page.getByRole('textbox', { name: 'Message' })
  await box.fill('How do I revoke a key?')
  await box.press('Enter')
  await page.getByText(/bkg keys revoke/).first().waitFor()
  await eventually('the question is in the usage', async () => {
    const { usage } = await gateway.api('GET', '/admin/usage?group_by=route,status')
    return usage.some((row) => row.route === '/v1/chat/completions' && row.status === 200)
  })
  await page.goto(`${gateway.url}/`)
  await step(page, 'Ask the built-in guide: done').waitFor()
  await page.done()
})

test('a model server is added, tried, and then the step is done', async () => {
  const page = await gateway.newPage()
  await page.enter('/')
  await step(page, 'Add a model server: to do').getByRole('button', { name: 'Add a server' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Server').selectOption('other')
  await dialog.getByLabel('Name').fill('near')
  await dialog.getByLabel('Base URL').fill(gateway.upstream.url)
  await dialog.getByText('Whoever runs the gateway has to allow it').waitFor()
  await dialog.getByLabel('Chat models').fill('fake')
  await dialog.getByLabel('Its key').fill('a secret')
  await page.checkAccess()
  await page.picture('home-upstream')
  await dialog.getByRole('button', { name: 'Add and try it' }).click()
  await dialog.getByText('and fake answers').waitFor()
  await dialog.getByRole('button', { name: 'Close' }).last().click()
  await step(page, 'Add a model server: done').waitFor()
  const { data } = await gateway.api('GET', '/v1/models')
  assert.ok(data.some((model) => model.id === 'fake'))

  // A second one keeps the first, whose key the gateway does not show.
  await page.getByRole('button', { name: 'Add a server' }).click()
  await dialog.getByLabel('Server').selectOption('other')
  await dialog.getByLabel('Name').fill('far')
  await dialog.getByLabel('Base URL').fill(gateway.upstream.url)
  await dialog.getByLabel('Chat models').fill('slow')
  await dialog.getByLabel('Key of near once more').fill('a secret')
  await dialog.getByRole('button', { name: 'Add and try it' }).click()
  await dialog.getByText('It is added').waitFor()
  const after = await gateway.api('GET', '/v1/models')
  assert.deepEqual(['fake', 'slow'].map((id) => after.data.some((model) => model.id === id)), [true, true])
  await page.done()
})

test('a server where the gateway may not go is refused in words that help', async () => {
  const page = await gateway.newPage({ allow: [/40[03]|422/] })
  await page.enter('/')
  await page.getByRole('button', { name: 'Add a server' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Base URL').fill('http://10.1.2.3:11434/v1')
  await dialog.getByLabel('Chat models').fill('some')
  // It is asked for once the gateway has told which servers there are.
  await dialog.getByLabel('Key of near once more').fill('a secret')
  await dialog.getByRole('button', { name: 'Add and try it' }).click()
  await dialog.getByRole('alert').getByText(/allow_private/).waitFor()
  assert.equal(await dialog.getByLabel('Chat models').inputValue(), 'some')
  await page.done()
})

test('steps are done by what is true of the gateway, and may be hidden', async () => {
  await gateway.api('PUT', '/brainml/collections/notes', {})
  await gateway.api('POST', '/brainml/collections/notes/documents', { documents: [{ id: 'one', text: 'A note about rivers.' }] })
  const body = { model: 'bkg-extract', messages: [{ role: 'user', content: 'How do I revoke a key?' }], retrieval: { collections: ['bkg'] } }
  await gateway.api('POST', '/v1/chat/completions', body)
  await eventually('the question is in the usage', async () => {
    const { usage } = await gateway.api('GET', '/admin/usage?group_by=route')
    return usage.some((row) => row.route === '/v1/chat/completions')
  })
  for (const look of [{}, { dark: true }, { narrow: true }, { narrow: true, dark: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/')
    for (const title of ['Ask the built-in guide', 'Upload documents', 'Make a key for a program']) await step(page, `${title}: done`).waitFor()
    await page.getByText(/plugins run/).waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('home')
    await page.done()
  }
  const page = await gateway.newPage()
  await page.enter('/')
  await page.getByRole('button', { name: 'Hide' }).click()
  await page.reload()
  await page.getByRole('button', { name: 'Show the first steps' }).waitFor()
  await page.done()
})

test('someone without the scope admin sees the steps that he may take', async () => {
  await gateway.api('POST', '/admin/users', { username: 'sue', password: PASSWORD, scopes: ['llm.chat'] })
  const page = await gateway.newPage()
  await page.enter('/', { user: 'sue' })
  await page.getByText('Make a key for a program').waitFor()
  assert.equal(await page.getByText('Add a model server').count(), 0)
  await step(page, 'Make a key for a program: to do').getByRole('link').click()
  await page.getByRole('dialog', { name: 'Make a key' }).waitFor()
  await page.done()
})
