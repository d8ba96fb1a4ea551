/** Usage: what was asked is told, plotted, and saved as a file. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'

import { PASSWORD, eventually, start } from './harness.mjs'

let gateway
before(async () => {
  gateway = await start()
  const body = { model: 'all-MiniLM-L6-v2', input: ['one', 'two'] }
  await gateway.api('POST', '/v1/embeddings', body)
  await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${gateway.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'no such model', messages: [{ role: 'user', content: 'x' }] }),
  })
  await eventually('both are in the usage', async () => {
    const { usage } = await gateway.api('GET', '/admin/usage?group_by=route')
    return ['/v1/embeddings', '/v1/chat/completions'].every((route) => usage.some((row) => row.route === route))
  })
})
after(() => gateway?.stop())

test('what was used is told by model, by route and by status, and saved as a file', async () => {
  const page = await gateway.newPage()
  await page.enter('/usage')
  await page.getByRole('rowheader', { name: 'all-MiniLM-L6-v2' }).waitFor()
  await page.getByRole('img', { name: 'Requests by day' }).locator('canvas').waitFor()
  await page.getByLabel('Tell apart by').selectOption('route')
  const row = page.getByRole('row').filter({ hasText: '/v1/chat/completions' })
  await row.waitFor()
  await page.getByRole('button', { name: /^Errors/ }).click()
  await page.getByRole('img', { name: 'Errors by day' }).waitFor()
  await page.getByRole('button', { name: /^Mean time/ }).click()
  await page.getByRole('img', { name: 'Mean time by day' }).waitFor()
  assert.match(page.url(), /by=route/)
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'CSV' }).click()])
  const lines = readFileSync(await saved.path(), 'utf8').split('\r\n')
  assert.match(lines[0], /^day,route,status,requests,prompt_tokens,completion_tokens,mean_ms,max_ms$/)
  assert.ok(lines.some((line) => line.includes('/v1/embeddings,200,1,')))
  await page.reload()
  await row.waitFor()
  await page.done()
})

test('the page fits all widths and themes', async () => {
  for (const look of [{}, { dark: true }, { narrow: true }, { narrow: true, dark: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/usage?days=7&by=key')
    await page.getByRole('rowheader').first().waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('usage')
    await page.done()
  }
})

test('someone who has used nothing is told so', async () => {
  await gateway.api('POST', '/admin/users', { username: 'new', password: PASSWORD, scopes: ['llm.chat'] })
  const page = await gateway.newPage()
  await page.enter('/usage', { user: 'new' })
  await page.getByText('What you and your keys have used').waitFor()
  await page.done()
})
