/**
 * What every browser test shares: a real gateway on a free port with a data directory of its own, a
 * browser, and a page that tolerates no console error, no script error and no breach of the policy.
 */

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

import { startUpstream } from './upstream.mjs'

const root = resolve(import.meta.dirname, '../..')
// The site's packages are the tests' packages too.
const packages = createRequire(join(root, 'static/package.json'))
const { chromium } = packages('playwright-core')
const axe = packages.resolve('axe-core/axe.min.js')

export const PASSWORD = 'correct horse battery'

/** How long anything may take on a busy machine. */
export const PATIENCE = 30_000

const WIDE = { width: 1440, height: 900 }
const NARROW = { width: 360, height: 740 }

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** What a test may change of the gateway: more environment variables. */
export async function start({ env = {} } = {}) {
  const data = mkdtempSync(join(tmpdir(), 'bkg-browser-'))
  const upstream = await startUpstream()
  const bkg = process.env.BKG_TEST_PROGRAM ?? join(root, 'target/debug/bkg')
  const settings = {
    ...clean(process.env),
    BKG_DATA_DIR: data,
    BKG_MODELS_DIR: process.env.BKG_TEST_MODELS ?? join(root, 'target/models'),
    BKG_ADMIN_PASSWORD: PASSWORD,
    BKG_SERVER__PORT: '0',
    BKG_SERVER__DRAIN_ACCEPT_SECONDS: '0',
    BKG_UPSTREAMS__ALLOW_PRIVATE: '127.0.0.1',
    ...env,
  }
  const child = spawn(bkg, ['serve'], { cwd: data, env: settings, stdio: ['ignore', 'ignore', 'pipe'] })
  const url = await address(child)
  const browser = await chromium.launch({
    executablePath: process.env.BKG_TEST_CHROMIUM ?? '/usr/bin/chromium',
    // A page that was served from a folder has no address that could be told to be this machine's.
    args: process.env.BKG_TEST_SITE ? [...FLAGS, '--disable-features=LocalNetworkAccessChecks'] : FLAGS,
  })

  /** Runs a subcommand and gives what it printed. */
  function command(...args) {
    const done = spawnSync(bkg, args, { cwd: data, env: settings, encoding: 'utf8' })
    assert.equal(done.status, 0, done.stderr)
    return done.stdout.trim()
  }

  const key = command('keys', 'create', '--name', 'browser', '--scopes', '*')

  return {
    url,
    key,
    upstream,
    command,
    /** Asks the API with a key that may do everything. */
    async api(method, path, body) {
      const headers = { authorization: `Bearer ${key}` }
      if (body !== undefined) headers['content-type'] = 'application/json'
      const answer = await fetch(url + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
      const text = await answer.text()
      assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
      return text ? JSON.parse(text) : undefined
    },
    /** Makes the fake upstream's models (`fake`, `slow`, `hostile`, `failing`) the gateway's own. */
    async useUpstream() {
      const models = upstream.models
      const upstreams = [{ name: 'fake', base_url: upstream.url, models }]
      await this.api('PUT', '/admin/plugins/llmserver/config', { settings: { upstreams } })
    },
    newPage: (options) => newPage(browser, url, options),
    async stop() {
      await browser.close()
      await upstream.stop()
      child.kill('SIGKILL')
      await new Promise((done) => (child.exitCode === null && child.signalCode === null ? child.once('exit', done) : done()))
      rmSync(data, { recursive: true, force: true })
    },
  }
}

/** The environment without the developer's own settings. */
function clean(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('BKG_')))
}

function address(child) {
  return new Promise((found, failed) => {
    const lines = []
    const timer = setTimeout(() => failed(new Error(`the gateway did not start:\n${lines.join('\n')}`)), 60_000)
    // Read to the end, or the gateway would wait for room in the pipe.
    createInterface({ input: child.stderr }).on('line', (line) => {
      lines.push(line)
      if (process.env.BKG_TEST_LOG) console.error(line)
      const at = line.indexOf('listening on ')
      if (at < 0) return
      clearTimeout(timer)
      found(line.slice(at + 'listening on '.length).trim())
    })
    child.once('exit', (code) => failed(new Error(`the gateway ended with ${code}:\n${lines.join('\n')}`)))
    child.once('error', failed)
  })
}

/**
 * A page in a browser profile of its own. `faults` gathers what must not happen; `allow` names what a
 * test provokes itself, such as an answer of 401.
 */
async function newPage(browser, url, { narrow = false, dark = false, allow = [], language = 'en-GB' } = {}) {
  const context = await browser.newContext({
    viewport: narrow ? NARROW : WIDE,
    colorScheme: dark ? 'dark' : 'light',
    locale: language,
    reducedMotion: 'reduce',
  })
  if (process.env.BKG_TEST_SITE) await serveFrom(context, url, process.env.BKG_TEST_SITE)
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE)
  const faults = []
  const note = (text) => allow.some((expected) => expected.test(text)) || faults.push(text)
  page.on('console', (message) => {
    if (message.type() === 'error') note(`console: ${message.text()} ${message.location().url}`)
  })
  page.on('pageerror', (error) => note(`script: ${error.stack ?? error}`))
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url())
    if (['http:', 'https:', 'ws:', 'wss:'].includes(protocol) && origin.replace('ws', 'http') !== url) note(`outside: ${request.url()}`)
  })
  await page.exposeFunction('noteBreach', (text) => note(`policy: ${text}`))
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      window.noteBreach(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`),
    )
  })

  return Object.assign(page, {
    faults,
    /** Opens a path of the site, logged in. */
    async enter(path = '/', { user = 'admin', password = PASSWORD } = {}) {
      await page.goto(url + path)
      await page.getByLabel('User', { exact: true }).fill(user)
      await page.getByLabel('Password', { exact: true }).fill(password)
      await page.getByRole('button', { name: 'Log in' }).click()
      await page.locator('main#main').waitFor()
    },
    /** No finding of axe that is serious or critical. */
    async checkAccess() {
      // The driver evaluates this beside the page's policy, which forbids it to anyone else.
      if (!(await page.evaluate(() => 'axe' in window))) await page.addScriptInPage(axe)
      const result = await page.evaluate(() => window.axe.run({ resultTypes: ['violations'] }))
      const grave = result.violations.filter((one) => ['serious', 'critical'].includes(one.impact))
      const told = grave.map((one) => `${one.id}: ${one.help}\n  ${one.nodes.map((node) => node.html).join('\n  ')}`)
      assert.deepEqual(told, [])
    },
    async addScriptInPage(path) {
      const { readFileSync } = await import('node:fs')
      await page.evaluate(readFileSync(path, 'utf8'))
    },
    /** Nothing is wider than the window. */
    async checkWidth() {
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      assert.ok(over <= 0, `the page is ${over} px too wide`)
    },
    /** Leaves a picture in `target/screenshots`. */
    async picture(name) {
      const folder = join(root, 'target/screenshots')
      mkdirSync(folder, { recursive: true })
      await page.screenshot({ path: join(folder, `${name}-${narrow ? 360 : 1440}${dark ? '-dark' : ''}.png`) })
    },
    /** Closes it; fails if anything happened that must not. */
    async done() {
      await context.close()
      assert.deepEqual(faults, [])
    },
  })
}

/**
 * Serves the site from a folder (`npm run build` leaves one) under the gateway's own policy: for whoever
 * works on a page and does not want to wait for the program to be built.
 */
async function serveFrom(context, url, folder) {
  const headers = Object.fromEntries((await fetch(url)).headers)
  const policy = { 'content-security-policy': headers['content-security-policy'] }
  await context.route(
    (asked) => asked.origin === url && !/^\/(v1|admin|auth|brainml|health|metrics|docs|openapi)/.test(asked.pathname),
    (route) => {
      const file = join(folder, new URL(route.request().url()).pathname)
      return route.fulfill({ path: /\.\w+$/.test(file) ? file : join(folder, 'index.html'), headers: policy })
    },
  )
}

/** Waits until `holds` does. */
export async function eventually(what, holds, patience = PATIENCE) {
  const until = Date.now() + patience
  for (;;) {
    if (await holds()) return
    assert.ok(Date.now() < until, `waited in vain: ${what}`)
    await new Promise((done) => setTimeout(done, 25))
  }
}

export const hasBrowser = existsSync(process.env.BKG_TEST_CHROMIUM ?? '/usr/bin/chromium')
