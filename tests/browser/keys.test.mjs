/** Keys: made once seen, used, rotated, revoked, and what a hostile name does. */

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { PASSWORD, start } from './harness.mjs'

let gateway
before(async () => (gateway = await start()))
after(() => gateway?.stop())

/** The status that the gateway gives to a request with `key`. */
async function status(key, path = '/v1/models') {
  const answer = await fetch(gateway.url + path, { headers: { authorization: `Bearer ${key}` } })
  return answer.status
}

test('a key is made, shown once, used, rotated with an overlap, and revoked', async () => {
  const page = await gateway.newPage()
  await page.enter('/keys')
  await page.getByRole('button', { name: 'Make a key' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name').fill('notebook')
  await dialog.getByText('Limits', { exact: true }).click()
  await dialog.getByLabel('Requests a minute').fill('60')
  await page.checkAccess()
  await page.picture('keys-make')
  await dialog.getByRole('button', { name: 'Make a key' }).click()
  await page.getByText('Copy it now').waitFor()
  const first = (await page.getByRole('region', { name: 'Secret' }).innerText()).trim()
  assert.match(first, /^bkg_/)
  // A slip of the hand must not lose it.
  await page.mouse.click(5, 5)
  await page.getByRole('tab', { name: 'curl' }).click()
  await page.getByText(`Bearer ${first}`).waitFor()
  await page.checkAccess()
  await page.picture('keys-secret')
  await page.getByRole('button', { name: 'I have copied it' }).click()
  assert.equal(await status(first), 200)
  await page.getByText('60 requests/min').waitFor()
  assert.equal(await page.getByText(first).count(), 0)

  await page.getByRole('button', { name: 'Rotate: notebook' }).click()
  await page.getByLabel('The old secret holds').selectOption({ label: 'One hour more' })
  await page.getByRole('dialog').getByRole('button', { name: 'Rotate' }).click()
  await page.getByText('Copy it now').waitFor()
  const second = (await page.getByRole('region', { name: 'Secret' }).innerText()).trim()
  assert.notEqual(second, first)
  await page.getByRole('button', { name: 'I have copied it' }).click()
  await page.getByText('Old secret until').waitFor()
  assert.deepEqual([await status(first), await status(second)], [200, 200])

  await page.getByRole('button', { name: 'Revoke: notebook' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
  await page.getByText('notebook is revoked').waitFor()
  assert.deepEqual([await status(first), await status(second)], [401, 401])
  await page.getByLabel(/Ended ones too/).check()
  await page.getByText('Revoked', { exact: true }).waitFor()
  await page.done()
})

test('a key is changed, its end and its limits too', async () => {
  const made = await gateway.api('POST', '/admin/keys', { name: 'batch', scopes: ['llm.chat'], limits: { requests_per_minute: 5 } })
  const page = await gateway.newPage()
  await page.enter('/keys')
  await page.getByRole('button', { name: 'Change: batch' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('llm.embed').check()
  await dialog.getByLabel('Requests a minute').fill('')
  await dialog.getByLabel('Tokens a month').fill('1000')
  await dialog.getByLabel('Ends').fill('2099-01-31T12:00')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await page.getByText('batch is changed').waitFor()
  const { keys } = await gateway.api('GET', '/admin/keys')
  const after = keys.find((key) => key.id === made.id)
  assert.deepEqual(after.scopes, ['llm.chat', 'llm.embed'])
  assert.deepEqual(after.limits, { monthly_tokens: 1000 })
  assert.match(after.expires_at, /^2099-01-31T/)
  await page.done()
})

test('the name of a key is text, whatever is in it', async () => {
  const name = '<img src=x onerror="window.broken=1"><b>bold</b>'
  await gateway.api('POST', '/admin/keys', { name, scopes: ['llm.chat'] })
  for (const look of [{}, { narrow: true, dark: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/keys')
    await page.getByText(name).waitFor()
    assert.equal(await page.evaluate(() => window.broken), undefined)
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('keys')
    await page.done()
  }
})

test('someone without the scope admin has keys of his own, no wider than himself', async () => {
  await gateway.api('POST', '/admin/users', { username: 'kay', password: PASSWORD, scopes: ['llm.chat'] })
  const page = await gateway.newPage()
  await page.enter('/keys', { user: 'kay' })
  await page.getByText('There are no keys yet').waitFor()
  await page.getByRole('button', { name: 'Make a key' }).first().click()
  const dialog = page.getByRole('dialog')
  assert.equal(await dialog.getByLabel('admin', { exact: true }).isDisabled(), true)
  assert.equal(await dialog.getByLabel('llm.chat').isChecked(), true)
  await dialog.getByLabel('Name').fill('mine')
  await dialog.getByRole('button', { name: 'Make a key' }).click()
  await page.getByText('Copy it now').waitFor()
  await page.done()
})
