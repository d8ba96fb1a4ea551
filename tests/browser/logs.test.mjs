/** The log page: filters, pause, gaps, floods, download, and lines that want to be more than text. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'

import { eventually, start } from './harness.mjs'

let gateway
before(async () => {
  gateway = await start()
  await gateway.useUpstream()
})
after(() => gateway?.stop())

const log = (page) => page.getByRole('log')
const shown = async (page) => Number(await page.locator('[data-shown]').getAttribute('data-shown'))

test('lines come live and are filtered by plugin, level and text', async () => {
  const page = await gateway.newPage()
  await page.enter('/logs')
  await page.getByText('Live', { exact: true }).waitFor()
  await eventually('lines of several plugins', async () => (await page.getByLabel('Plugin', { exact: true }).locator('option').count()) > 3)
  const all = await shown(page)
  await page.getByLabel('Plugin', { exact: true }).selectOption('bkg')
  assert.ok((await shown(page)) < all)
  assert.match(page.url(), /plugin=bkg/)
  await page.getByLabel('Plugin', { exact: true }).selectOption('')
  await page.getByLabel('Contains …').fill('listening on')
  await log(page).getByText(/listening on http/).waitFor()
  await eventually('others are hidden', async () => (await shown(page)) < all)
  await page.getByLabel('Least level').selectOption('error')
  await eventually('none is an error', async () => (await shown(page)) === 0)
  await page.reload()
  assert.equal(await page.getByLabel('Contains …').inputValue(), 'listening on')
  await page.done()
})

test('a hostile line is shown as text, on one line', async () => {
  const page = await gateway.newPage()
  await page.enter('/logs')
  const body = { model: 'failing', messages: [{ role: 'user', content: 'x' }] }
  const headers = { authorization: `Bearer ${gateway.key}`, 'content-type': 'application/json' }
  const answer = await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST', headers, body: JSON.stringify(body) })
  assert.equal(answer.status, 502)
  await page.getByLabel('Contains …').fill('ERROR forged')
  const line = log(page).getByText(/<img src=x onerror/).first()
  await line.waitFor()
  assert.ok(!/[\u001b\u202e\n]/.test(await line.innerText()))
  assert.equal(await log(page).locator('img, script').count(), 0)
  assert.equal(await page.evaluate(() => window.owned), undefined)
  await page.picture('logs-hostile')
  await page.done()
})

test('pause holds new lines back, and going on shows them', async () => {
  const page = await gateway.newPage()
  await page.enter('/logs')
  await page.getByText('Live', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Pause' }).click()
  const before = await shown(page)
  await gateway.api('POST', '/admin/plugins/brainml/restart', {})
  await page.getByText(/more lines? waits?/).waitFor()
  assert.equal(await shown(page), before)
  await page.getByRole('button', { name: 'Go on' }).click()
  await eventually('they are shown', async () => (await shown(page)) > before)
  await page.done()
})

test('what is shown can be downloaded, a JSON object a line', async () => {
  const page = await gateway.newPage()
  await page.enter('/logs?text=listening')
  await log(page).getByText(/listening on http/).waitFor()
  const download = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Download what is shown' }).click()
  const lines = (await readFile(await (await download).path(), 'utf8')).trim().split('\n').map((line) => JSON.parse(line))
  assert.ok(lines.length && lines.every((line) => line.message.includes('listening')))
  await page.done()
})

test('a hundred thousand lines, a gap and a restart are shown without holding up the page', async () => {
  const page = await gateway.newPage()
  let socket
  await page.routeWebSocket(/\/ws\/logs/, (opened) => (socket = opened))
  await page.enter('/logs')
  await eventually('a socket', () => socket)
  const say = (frame) => socket.send(JSON.stringify(frame))
  say({ type: 'hello', epoch: 'one', oldest: 1, next: 1 })
  await page.evaluate(() => {
    window.longest = 0
    let last = performance.now()
    const look = () => {
      const now = performance.now()
      window.longest = Math.max(window.longest, now - last)
      last = now
      requestAnimationFrame(look)
    }
    requestAnimationFrame(look)
  })
  const ts = new Date().toISOString()
  for (let seq = 1; seq <= 100_000; seq += 500) {
    const records = Array.from({ length: 500 }, (_, at) => ({
      seq: seq + at, ts, plugin: 'flood', level: 'info', stream: 'log', message: `line ${seq + at}`,
    }))
    say({ type: 'records', records })
  }
  say({ type: 'gap', from: 100_001, to: 100_007, count: 7 })
  await eventually('all are there', async () => (await shown(page)) === 100_001)
  await log(page).getByText('7 lines are missing').waitFor()
  assert.ok((await log(page).locator('time').count()) < 200, 'only what is seen is in the page')
  const longest = await page.evaluate(() => window.longest)
  console.log(`longest frame while 100,000 lines came: ${Math.round(longest)} ms`)
  await page.checkAccess()
  await page.picture('logs-flood')
  await log(page).focus()
  await page.keyboard.press('Home')
  await log(page).getByText('line 1', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Jump to now' }).click()
  await log(page).getByText('7 lines are missing').waitFor()
  say({ type: 'hello', epoch: 'two', oldest: 1, next: 1 })
  await log(page).getByText('The gateway has restarted').waitFor()
  await page.done()
})

test('it can be used in both themes and on a phone', async () => {
  for (const look of [{ dark: true }, { narrow: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/logs')
    await log(page).locator('time').first().waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('logs')
    await page.done()
  }
})
