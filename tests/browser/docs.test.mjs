/** The API reference: every route of `/openapi.json`, for strangers too. */

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { start } from './harness.mjs'

let gateway
before(async () => (gateway = await start()))
after(() => gateway?.stop())

test('a stranger reads the reference, searches it, and opens a route', async () => {
  for (const look of [{}, { narrow: true, dark: true }]) {
    const page = await gateway.newPage(look)
    await page.goto(`${gateway.url}/docs`)
    await page.getByRole('link', { name: /\/v1\/chat\/completions/ }).waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('docs')
    await page.getByLabel('Search').fill('collections query')
    await page.getByRole('link', { name: /\/brainml\/collections\/\{name\}\/query/ }).click()
    await page.getByRole('region', { name: 'curl' }).getByText('-X POST').waitFor()
    await page.getByText('How many results').waitFor()
    await page.getByText('Fields').first().click()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('docs-route')
    await page.done()
  }
})

test('every route has a page of its own that says what it takes', async () => {
  const page = await gateway.newPage()
  await page.goto(`${gateway.url}/docs`)
  const links = page.getByRole('navigation', { name: 'Routes' }).getByRole('link')
  await links.first().waitFor()
  const spec = await (await fetch(`${gateway.url}/openapi.json`)).json()
  const routes = Object.values(spec.paths).flatMap((item) => Object.keys(item))
  assert.equal(await links.count(), routes.length)
  const wrong = await page.evaluate(async () => {
    const wrong = []
    for (const link of document.querySelectorAll('nav[aria-label=Routes] a')) {
      link.click()
      await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))
      const [method, path] = link.innerText.trim().split(/\s+/)
      const shown = document.querySelector('article')?.innerText ?? ''
      const right = shown.includes(path) && shown.toLowerCase().includes(method.toLowerCase()) && shown.includes('curl ') && shown.includes('Answers')
      if (!right) wrong.push(`${method} ${path}`)
    }
    return wrong
  })
  assert.deepEqual(wrong, [])
  await page.reload()
  await page.getByRole('heading', { name: 'Answers' }).waitFor()
  await page.done()
})

test('the log-in is one step away, and the reference stays the same after it', async () => {
  const page = await gateway.newPage()
  await page.goto(`${gateway.url}/docs`)
  await page.getByRole('link', { name: 'Log in' }).click()
  await page.getByLabel('User', { exact: true }).waitFor()
  await page.enter('/')
  await page.goto(`${gateway.url}/docs`)
  await page.getByRole('button', { name: 'Account of admin' }).waitFor()
  await page.getByRole('link', { name: /\/v1\/chat\/completions/ }).waitFor()
  await page.done()
})
