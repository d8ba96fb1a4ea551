/** Traces: the latest requests, and one of them as a waterfall over the plugins. */

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { eventually, start } from './harness.mjs'

let gateway
before(async () => {
  gateway = await start()
  const body = { model: 'bkg-extract', messages: [{ role: 'user', content: 'How do I revoke a key?' }], retrieval: { collections: ['bkg'] } }
  await gateway.api('POST', '/v1/chat/completions', body)
  const headers = { authorization: `Bearer ${gateway.key}`, 'content-type': 'application/json' }
  await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST', headers, body: JSON.stringify({ ...body, model: 'no such model' }) })
  await eventually('both are traced', async () => {
    const { traces } = await gateway.api('GET', '/admin/traces?route=/v1/chat/completions')
    return traces.length === 2
  })
})
after(() => gateway?.stop())

test('a request is found and shown as a waterfall over the plugins', async () => {
  for (const look of [{}, { narrow: true, dark: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/traces')
    const row = page.getByRole('row').filter({ hasText: '/v1/chat/completions' }).filter({ hasText: '200' })
    await row.waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('traces')
    await row.getByRole('link').click()
    const waterfall = page.getByRole('list', { name: 'What was done, and when' })
    for (const name of ['llm.chat', 'brainml.query']) await waterfall.getByText(name).waitFor()
    await waterfall.getByRole('button').first().click()
    await waterfall.getByText('began after').waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('trace')
    await page.reload()
    await waterfall.waitFor()
    await page.done()
  }
})

test('requests are narrowed by status and by text, in an address that can be passed on', async () => {
  const page = await gateway.newPage()
  await page.enter('/traces')
  await page.getByLabel('Status').selectOption('4xx')
  const rows = page.locator('tbody tr')
  await eventually('only refusals are shown', async () => {
    const all = await rows.allInnerTexts()
    return all.length > 0 && all.every((text) => /\b4\d\d\b/.test(text))
  })
  assert.match(page.url(), /status=4xx/)
  await page.getByLabel('Search').fill('nothing like this')
  await page.getByText('No request fits').waitFor()
  await page.done()
})

test('a trace that is no longer kept is said to be gone', async () => {
  const page = await gateway.newPage({ allow: [/404/] })
  await page.enter(`/traces/${'0'.repeat(31)}1`)
  await page.getByRole('alert').waitFor()
  await page.getByRole('link', { name: 'All traces' }).click()
  await page.getByRole('table').waitFor()
  await page.done()
})
