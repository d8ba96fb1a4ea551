/** Users: added, changed, locked out, let in again. */

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { PASSWORD, start } from './harness.mjs'

let gateway
before(async () => (gateway = await start()))
after(() => gateway?.stop())

async function logIn(username, password) {
  const body = JSON.stringify({ username, password })
  const headers = { 'content-type': 'application/json' }
  return (await fetch(`${gateway.url}/auth/login`, { method: 'POST', headers, body })).status
}

test('a user is added, gets other scopes and a new password, is locked out and let in again', async () => {
  const page = await gateway.newPage()
  await page.enter('/users')
  await page.getByRole('button', { name: 'Add a user' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name').fill('ida')
  await dialog.getByLabel('Password').fill(PASSWORD)
  await dialog.getByLabel('brainml.index').check()
  await page.checkAccess()
  await page.picture('users-add')
  await dialog.getByRole('button', { name: 'Add a user' }).click()
  await page.getByText('ida can log in now').waitFor()
  assert.equal(await logIn('ida', PASSWORD), 200)

  await page.getByRole('button', { name: 'Change: ida' }).click()
  await dialog.getByLabel('New password').fill('quite another one')
  await dialog.getByLabel('brainml.index').uncheck()
  await dialog.getByRole('button', { name: 'Save' }).click()
  await page.getByText('ida is changed').waitFor()
  assert.deepEqual([await logIn('ida', PASSWORD), await logIn('ida', 'quite another one')], [401, 200])
  const { users } = await gateway.api('GET', '/admin/users')
  assert.deepEqual(users.find((user) => user.username === 'ida').scopes, ['brainml.query', 'llm.chat'])

  await page.getByRole('button', { name: 'Lock out: ida' }).click()
  await dialog.getByRole('button', { name: 'Lock out' }).click()
  await page.getByText('ida is locked out').waitFor()
  assert.equal(await logIn('ida', 'quite another one'), 401)
  await page.getByRole('button', { name: 'Let in again' }).click()
  await page.getByText('ida can log in again').waitFor()
  assert.equal(await logIn('ida', 'quite another one'), 200)
  await page.done()
})

test('what the gateway refuses is said in the dialog, and nothing typed is lost', async () => {
  const page = await gateway.newPage({ allow: [/409/] })
  await page.enter('/users')
  await page.getByRole('button', { name: 'Add a user' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name').fill('admin')
  await dialog.getByLabel('Password').fill(PASSWORD)
  await dialog.getByRole('button', { name: 'Add a user' }).click()
  await dialog.getByRole('alert').waitFor()
  assert.equal(await dialog.getByLabel('Name').inputValue(), 'admin')
  await page.done()
})

test('the page is for admins, and fits all widths and themes', async () => {
  await gateway.api('POST', '/admin/users', { username: 'bob', password: PASSWORD, scopes: ['llm.chat'] })
  const other = await gateway.newPage()
  await other.enter('/users', { user: 'bob' })
  await other.getByRole('heading', { name: 'You may not see this page' }).waitFor()
  await other.done()
  for (const look of [{}, { dark: true }, { narrow: true }, { narrow: true, dark: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/users')
    await page.getByRole('row', { name: /bob/ }).waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('users')
    await page.done()
  }
})
