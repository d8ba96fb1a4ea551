/** The gateway's health and its backups. */

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { start } from './harness.mjs'

let gateway
before(async () => (gateway = await start()))
after(() => gateway?.stop())

test('the health is told, with memory and open files', async () => {
  for (const look of [{}, { dark: true }, { narrow: true }, { narrow: true, dark: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/system')
    await page.getByText('Ready', { exact: true }).waitFor()
    await page.getByText(/MiB$/).first().waitFor()
    await page.getByText('Open files').waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('system')
    await page.done()
  }
})

test('a backup is made and listed, with the command that restores it', async () => {
  const page = await gateway.newPage()
  await page.enter('/system')
  await page.getByRole('tab', { name: 'Backups' }).click()
  await page.getByText('There are no backups yet').waitFor()
  await page.checkAccess()
  await page.getByRole('button', { name: 'Make a backup' }).first().click()
  await page.getByText(/The backup .* is made/).waitFor()
  const { backups } = await gateway.api('GET', '/admin/backups')
  assert.equal(backups.length, 1)
  await page.getByRole('cell', { name: backups[0].name }).waitFor()
  await page.getByText(`bkg restore data/backups/${backups[0].name}`).waitFor()
  await page.checkAccess()
  await page.picture('system-backups')
  await page.reload()
  await page.getByRole('cell', { name: backups[0].name }).waitFor()
  await page.done()
})

test('every setting is told with where its value comes from', async () => {
  for (const look of [{}, { narrow: true, dark: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/system/settings')
    const row = page.getByRole('row').filter({ hasText: 'upstreams.allow_private' })
    await row.getByText('from the environment').waitFor()
    await row.getByText('BKG_UPSTREAMS__ALLOW_PRIVATE').waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('system-settings')
    await page.getByLabel(/Changed ones only/).check()
    await row.waitFor()
    await page.getByLabel('Search').fill('no such setting')
    await page.getByText('No setting fits').waitFor()
    await page.done()
  }
})
