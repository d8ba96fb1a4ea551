/** The log-in and the frame of every page. */

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { after, before, test } from 'node:test'

import { PASSWORD, eventually, start } from './harness.mjs'

let gateway
before(async () => (gateway = await start()))
after(() => gateway?.stop())

test('a stranger sees the log-in and what to do without a password', async () => {
  for (const narrow of [false, true]) {
    const page = await gateway.newPage({ narrow })
    await page.goto(`${gateway.url}/`)
    await page.getByText('Password unknown?').click()
    await page.getByText('bkg users password admin').waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('login')
    await page.done()
  }
})

test('a wrong password is said, and a right one leads on to the page that was wanted', async () => {
  const page = await gateway.newPage({ allow: [/401/] })
  await page.goto(`${gateway.url}/nowhere/at/all`)
  await page.getByLabel('User', { exact: true }).fill('admin')
  await page.getByLabel('Password', { exact: true }).fill('wrong')
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('alert').waitFor()
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('heading', { name: 'There is no such page' }).waitFor()
  await page.getByRole('link', { name: 'Go to the first page' }).click()
  await page.getByRole('heading', { name: 'Welcome, admin' }).waitFor()
  await page.done()
})

test('the first page says how the gateway is, in both themes and widths', async () => {
  for (const look of [{}, { dark: true }, { narrow: true }, { narrow: true, dark: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/')
    await page.getByText(/plugins run/).waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('home')
    await page.done()
  }
})

test('a session is kept over a reload and ends for good', async () => {
  const page = await gateway.newPage({ allow: [/401/] })
  await page.enter('/')
  await page.reload()
  await page.getByRole('heading', { name: 'Welcome, admin' }).waitFor()
  await page.getByRole('button', { name: 'Account of admin' }).click()
  await page.checkAccess()
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByRole('button', { name: 'Log in' }).waitFor()
  await page.goto(`${gateway.url}/`)
  await page.getByRole('button', { name: 'Log in' }).waitFor()
  await page.done()
})

test('theme and language are chosen and remembered', async () => {
  const page = await gateway.newPage()
  await page.enter('/')
  await page.getByRole('button', { name: 'Account of admin' }).click()
  await page.getByLabel('Theme').selectOption('dark')
  assert.match(await page.locator('html').getAttribute('class'), /dark/)
  await page.getByLabel('Language').selectOption('de')
  await page.getByRole('heading', { name: 'Willkommen, admin' }).waitFor()
  await page.reload()
  await page.getByRole('heading', { name: 'Willkommen, admin' }).waitFor()
  assert.match(await page.locator('html').getAttribute('class'), /dark/)
  assert.equal(await page.locator('html').getAttribute('lang'), 'de')
  await page.done()
})

test('the command palette and the drawer are reached by keyboard', async () => {
  const wide = await gateway.newPage()
  await wide.enter('/nowhere')
  await wide.keyboard.press('Control+k')
  await wide.getByRole('combobox').fill('hom')
  await wide.checkAccess()
  await wide.keyboard.press('Enter')
  await wide.getByRole('heading', { name: 'Welcome, admin' }).waitFor()
  await wide.done()

  const narrow = await gateway.newPage({ narrow: true })
  await narrow.enter('/nowhere')
  await narrow.getByRole('button', { name: 'Open the menu' }).press('Enter')
  await narrow.getByRole('link', { name: 'Home' }).press('Enter')
  await narrow.getByRole('heading', { name: 'Welcome, admin' }).waitFor()
  await eventually('the drawer closes', async () => (await narrow.getByRole('dialog').count()) === 0)
  await narrow.done()
})

test('a password is changed, and a wrong present one does not end the session', async () => {
  await gateway.api('POST', '/admin/users', { username: 'ann', password: PASSWORD, scopes: ['llm.chat'] })
  const page = await gateway.newPage({ allow: [/40[13]/] })
  await page.enter('/', { user: 'ann' })
  await page.getByRole('button', { name: 'Account of ann' }).click()
  await page.getByRole('button', { name: 'Change password' }).click()
  await page.getByLabel('Present password').fill('not this one')
  await page.getByLabel('New password').fill('another fine password')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('alert').waitFor()
  await page.getByLabel('Present password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('The password is changed').waitFor()
  await page.reload()
  await page.getByRole('heading', { name: 'Welcome, ann' }).waitFor()
  await page.done()
})

test('a second factor is set up, asked for, and turned off', async () => {
  await gateway.api('POST', '/admin/users', { username: 'tom', password: PASSWORD, scopes: ['llm.chat'] })
  const page = await gateway.newPage({ allow: [/401/] })
  await page.enter('/', { user: 'tom' })
  await page.getByRole('button', { name: 'Account of tom' }).click()
  await page.getByRole('button', { name: 'Second factor' }).click()
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
  await page.getByRole('button', { name: 'Set up' }).click()
  await page.getByRole('img', { name: /QR code/ }).waitFor()
  await page.checkAccess()
  const secret = await page.locator('code').filter({ hasText: /^[A-Z2-7]{16,}$/ }).innerText()
  await page.getByLabel('Code of your authenticator').fill(totp(secret, 0))
  await page.getByRole('button', { name: 'Turn on' }).click()
  await page.getByText('The second factor is on').waitFor()
  await page.getByRole('button', { name: 'Account of tom' }).click()
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByLabel('User', { exact: true }).fill('tom')
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
  await page.getByRole('button', { name: 'Log in' }).click()
  // A code counts once: the next one is taken early.
  await page.getByLabel('Code of your authenticator').fill(totp(secret, 1))
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('heading', { name: 'Welcome, tom' }).waitFor()
  await page.getByRole('button', { name: 'Account of tom' }).click()
  await page.getByRole('button', { name: 'Second factor' }).click()
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
  await page.getByRole('button', { name: 'Turn off' }).click()
  await page.getByText('The second factor is off').waitFor()
  await page.done()
})

/** The code of a base-32 secret, some steps of 30 seconds from now. Source: RFC 6238. */
function totp(secret, steps) {
  const bits = [...secret].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps))
  const hash = createHmac('sha1', key).update(counter).digest()
  const at = hash[19] & 15
  return String((hash.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}
