/** The audit log: read page by page, narrowed, checked, saved. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'

import { start } from './harness.mjs'

const KEYS = 110

let gateway
before(async () => {
  gateway = await start()
  for (let key = 0; key < KEYS; key += 1) {
    await gateway.api('POST', '/admin/keys', { name: `key ${key}`, scopes: ['llm.chat'] })
  }
  await gateway.api('POST', '/admin/keys', { name: '<img src=x onerror="window.broken=1">', scopes: ['llm.chat'] })
})
after(() => gateway?.stop())

const numbers = async (page) => (await page.locator('tbody tr td:first-child').allInnerTexts()).map(Number)

test('the log is paged without a gap and without an entry twice, there and back', async () => {
  const page = await gateway.newPage()
  await page.enter('/audit')
  await page.locator('tbody tr').first().waitFor()
  const seen = []
  const older = page.getByRole('button', { name: 'Older' })
  for (;;) {
    const now = await numbers(page)
    seen.push(...now)
    if (await older.isDisabled()) break
    await older.click()
    await page.getByRole('cell', { name: String(now.at(-1) - 1), exact: true }).waitFor()
  }
  assert.deepEqual(seen, Array.from({ length: seen.length }, (_, at) => seen.length - at))
  assert.ok(seen.length > KEYS)
  const newer = page.getByRole('button', { name: 'Newer' })
  for (;;) {
    const [first] = await numbers(page)
    await newer.click()
    await page.getByRole('cell', { name: String(first + 1), exact: true }).waitFor()
    if (await newer.isDisabled()) break
  }
  assert.equal((await numbers(page))[0], seen[0])
  await page.done()
})

test('one action is shown alone and paged, and an entry is opened as text', async () => {
  const page = await gateway.newPage()
  await page.enter('/audit')
  await page.getByLabel('Action').selectOption('key.create')
  await page.getByRole('button', { name: 'Older' }).click()
  await page.waitForURL(/until=/)
  await page.getByRole('button', { name: 'Newer' }).click()
  await page.waitForURL((url) => !url.search.includes('until='))
  await page.locator('tbody tr').first().getByRole('button').click()
  await page.getByRole('dialog').getByText('onerror').waitFor()
  assert.equal(await page.evaluate(() => window.broken), undefined)
  await page.checkAccess()
  await page.picture('audit-entry')
  await page.done()
})

test('the chain is checked, with a head that was noted and with one that was not', async () => {
  const page = await gateway.newPage()
  await page.enter('/audit')
  await page.getByRole('button', { name: 'Verify' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Check it now' }).click()
  await dialog.getByText('The log is whole').waitFor()
  const head = (await dialog.getByRole('region', { name: 'Head of the log' }).innerText()).trim()
  assert.match(head, /^[0-9a-f]{64}$/)
  await page.checkAccess()
  await page.picture('audit-verify')
  await dialog.getByLabel('Head of the log').first().fill(head)
  await dialog.getByRole('button', { name: 'Check it now' }).click()
  await dialog.getByText('The log is whole').waitFor()
  await dialog.getByLabel('Head of the log').first().fill('0'.repeat(63) + '1')
  await dialog.getByRole('button', { name: 'Check it now' }).click()
  await dialog.getByText('The log is broken').waitFor()
  await page.done()
})

test('the whole log is saved, one entry a line', async () => {
  const page = await gateway.newPage()
  await page.enter('/audit')
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'JSON Lines' }).click()])
  const entries = readFileSync(await saved.path(), 'utf8').trim().split('\n').map((line) => JSON.parse(line))
  assert.deepEqual(entries.map((entry) => entry.seq), entries.map((_, at) => at + 1))
  assert.ok(entries.length > KEYS)
  await page.done()
})

test('the page fits all widths and themes', async () => {
  for (const look of [{}, { dark: true }, { narrow: true }, { narrow: true, dark: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/audit')
    await page.locator('tbody tr').first().waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('audit')
    await page.done()
  }
})
