/** The plugins page: states and figures as they change, stop and start, settings by form and as JSON. */

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { eventually, start } from './harness.mjs'

let gateway
before(async () => (gateway = await start()))
after(() => gateway?.stop())

const card = (page, name) => page.getByRole('article', { name })
const settings = async (name) => (await gateway.api('GET', `/admin/plugins/${name}/config`)).settings

test('every plugin is shown with its state and figures', async () => {
  for (const look of [{}, { dark: true }, { narrow: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/plugins')
    for (const name of ['apikeys', 'llmserver', 'brainml']) await card(page, name).getByText('Running', { exact: true }).waitFor()
    await card(page, 'apikeys').getByRole('img', { name: /Calls a second/ }).waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('plugins')
    await page.done()
  }
})

test('calls are seen as they happen', async () => {
  const page = await gateway.newPage()
  await page.enter('/plugins')
  await card(page, 'llmserver').waitFor()
  await eventually('a rate above zero', async () => {
    await gateway.api('GET', '/v1/models')
    const label = await card(page, 'llmserver').getByRole('img').getAttribute('aria-label')
    return !/now 0$/.test(label)
  })
  await page.done()
})

test('a plugin is stopped after a question, and started again', async () => {
  const page = await gateway.newPage()
  await page.enter('/plugins')
  await card(page, 'llmserver').getByRole('button', { name: 'Stop' }).click()
  const dialog = page.getByRole('dialog', { name: 'Stop llmserver?' })
  await dialog.getByText('Needed by brainml.').waitFor()
  await page.checkAccess()
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  assert.equal((await gateway.api('GET', '/admin/plugins/llmserver')).state, 'running')
  await card(page, 'llmserver').getByRole('button', { name: 'Stop' }).click()
  await dialog.getByRole('button', { name: 'Stop' }).click()
  await card(page, 'llmserver').getByText('Stopped', { exact: true }).waitFor()
  await card(page, 'llmserver').getByRole('button', { name: 'Start' }).click()
  await card(page, 'llmserver').getByText('Running', { exact: true }).waitFor()
  await page.done()
})

test('a change made elsewhere is seen at once', async () => {
  const page = await gateway.newPage()
  await page.enter('/plugins')
  await card(page, 'brainml').getByText('Running', { exact: true }).waitFor()
  await gateway.api('POST', '/admin/plugins/brainml/stop', {})
  await card(page, 'brainml').getByText('Stopped', { exact: true }).waitFor()
  await gateway.api('POST', '/admin/plugins/brainml/start', {})
  await card(page, 'brainml').getByText('Running', { exact: true }).waitFor()
  await page.done()
})

test('a setting is changed by the form, marked, and taken back', async () => {
  const page = await gateway.newPage()
  await page.enter('/plugins/brainml')
  const field = page.getByLabel('chunk_words', { exact: true })
  const before = await field.inputValue()
  await field.fill('123')
  await field.press('Tab')
  await page.getByText('Not saved yet').waitFor()
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Changed here').waitFor()
  assert.equal((await settings('brainml')).chunk_words.value, 123)
  await page.checkAccess()
  await page.getByRole('button', { name: 'Reset chunk_words' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Reset', exact: true }).click()
  await eventually('the default counts again', async () => (await field.inputValue()) === before)
  assert.equal((await settings('brainml')).chunk_words.source, 'default')
  await page.done()
})

test('an upstream is added by the form that its schema makes, and its key is not shown again', async () => {
  const page = await gateway.newPage()
  await page.enter('/plugins/llmserver')
  await page.getByRole('button', { name: 'Add' }).click()
  const upstream = page.getByRole('group', { name: 'upstreams 1' })
  await upstream.getByLabel('name', { exact: true }).fill('far')
  await upstream.getByLabel('base_url', { exact: true }).fill(gateway.upstream.url)
  await upstream.getByLabel('api_key', { exact: true }).fill('not to be read')
  await upstream.getByLabel('models', { exact: true }).fill('fake\nslow')
  await page.checkAccess()
  await upstream.scrollIntoViewIfNeeded()
  await page.picture('plugin-form')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('The settings of llmserver are saved').waitFor()
  const [told] = (await settings('llmserver')).upstreams.value
  assert.deepEqual([told.name, told.models, told.silence_seconds], ['far', ['fake', 'slow'], 300])
  assert.equal(await upstream.getByLabel('api_key', { exact: true }).inputValue(), '')
  assert.ok(!(await page.content()).includes('not to be read'))
  await page.done()
})

test('whether a plugin starts with the gateway is chosen and taken back', async () => {
  const page = await gateway.newPage()
  await page.enter('/plugins/brainml')
  const choice = page.getByLabel('Starts with the gateway')
  const told = async () => (await gateway.api('GET', '/admin/plugins/brainml/config')).autostart_source
  await choice.uncheck()
  await page.getByText('Changed here').waitFor()
  assert.equal(await told(), 'operator')
  await page.getByRole('button', { name: 'Reset', exact: true }).click()
  await eventually('it is taken back', async () => (await told()) !== 'operator')
  await eventually('it is shown', () => choice.isChecked())
  await page.done()
})

test('what the gateway refuses is said where it was written', async () => {
  const page = await gateway.newPage({ allow: [/422/] })
  await page.enter('/plugins/brainml')
  await page.getByLabel('chunk_words', { exact: true }).fill('1')
  await page.getByLabel('chunk_words', { exact: true }).press('Tab')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('alert').waitFor()
  assert.equal((await settings('brainml')).chunk_words.source, 'default')
  await page.getByRole('button', { name: 'Discard' }).click()
  await eventually('the draft is gone', async () => (await page.getByRole('alert').count()) === 0)
  await page.done()
})

test('settings are edited as JSON, under a policy that forbids inline styles', async () => {
  const page = await gateway.newPage()
  await page.enter('/plugins/brainml')
  await page.getByRole('button', { name: 'JSON' }).click()
  const editor = page.getByRole('textbox', { name: 'Settings' })
  await editor.waitFor()
  await page.picture('plugin-json')
  await page.checkAccess()
  await editor.fill('{"chunk_words": 222')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('alert').waitFor()
  await editor.click()
  await page.keyboard.press('Control+a')
  await page.keyboard.type('{"chunk_words": 222}')
  await page.getByRole('button', { name: 'Save' }).click()
  await eventually('it is saved', async () => (await settings('brainml')).chunk_words.value === 222)
  await page.done()
})

test('a plugin has its own log beside it, and fits a phone', async () => {
  for (const look of [{}, { narrow: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/plugins/llmserver')
    await page.getByRole('log').locator('time').first().waitFor()
    await page.getByRole('tab', { name: 'Details' }).click()
    await page.getByText('llm.chat', { exact: true }).waitFor()
    await page.getByRole('tab', { name: 'Settings' }).click()
    await page.getByRole('button', { name: 'Save' }).waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('plugin')
    await page.done()
  }
})

test('a user without the scope is not shown the page', async () => {
  await gateway.api('POST', '/admin/users', { username: 'eve', password: 'correct horse battery', scopes: ['llm.chat'] })
  const page = await gateway.newPage()
  await page.enter('/plugins', { user: 'eve' })
  await page.getByRole('heading', { name: 'You may not see this page' }).waitFor()
  assert.equal(await page.getByRole('link', { name: 'Plugins' }).count(), 0)
  await page.done()
})
