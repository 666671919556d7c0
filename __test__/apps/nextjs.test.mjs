// examples/nextjs as deployed: the standalone output of the production build, moved to another folder, in a browser.
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { chromium } from 'playwright-core'
import { startSimulator } from '../../simulator.mjs'
import { APPS, freePort, start, until } from './support.mjs'

const BROWSER = {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--headless',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
}
const ANSWER = /^This answer comes from a simulator .* in order\.\n\nWhen a provider .* Xin chào! 🐑$/s

/** Stands in for a test context, so that `start` works in hooks too. */
const cleanUps = []
const context = { after: (fn) => cleanUps.push(fn) }

/** The server of the moved build. */
async function serve(env = {}) {
  const all = { PORT: await freePort(), HOSTNAME: '127.0.0.1', NODE_ENV: 'production', ...env }
  return start(context, process.execPath, ['server.js'], { cwd: moved, env: all })
}

let moved
let app
let url
let browser
let page
let problems

before(async () => {
  // NEXT_URL=http://127.0.0.1:3000 uses a running server, for work on the page.
  url = process.env.NEXT_URL
  if (!url) {
    moved = mkdtempSync(join(tmpdir(), 'holysheep-moved-'))
    context.after(() => rmSync(moved, { recursive: true, force: true }))
    cpSync(join(APPS, 'nextjs/.next/standalone'), moved, { recursive: true, verbatimSymlinks: true })
    app = await serve()
    url = app.url
  }
  browser = await chromium.launch(BROWSER)
})
after(async () => {
  await browser?.close()
  if (process.exitCode) console.error(app?.output)
  for (const cleanUp of cleanUps.reverse()) await cleanUp()
})

beforeEach(async (t) => {
  const tab = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  t.after?.(() => tab.close())
  page = await tab.newPage()
  problems = []
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) problems.push(`requested ${request.url()}`)
  })
  await setFault('none')
  await page.goto(url)
  await page.getByText('Main', { exact: true }).waitFor()
})

const api = async (path, init) => (await fetch(`${url}/api/${path}`, init)).json()
const setFault = (fault) =>
  api('fault', { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ fault }) })
/** The requests that a simulated provider has received. */
async function requestsOf(index) {
  const { endpoints } = await api('status')
  return (await fetch(new URL('/__simulator/requests', endpoints[index].url))).json()
}

/** Chooses a fault in the panel and waits until the server has it. */
async function choose(name, fault) {
  await page.locator('#panel').getByText(name, { exact: true }).click()
  await until(async () => (await api('status')).fault === fault, `the fault ${fault}`)
}
async function ask(text = 'Hi') {
  await page.getByLabel('Your message').fill(text)
  await page.getByRole('button', { name: 'Send' }).click()
}
const answer = () => page.locator('.answer').last()
const text = () => answer().locator('.text')
const finished = () => page.getByRole('button', { name: 'Stop' }).waitFor({ state: 'detached', timeout: 30_000 })

/** The log of the last question in the panel. */
const log = async () => (await api('status')).logs[0].entries.map(({ text }) => text)

/** Records every text that the answer, or an element in it, shows over time. */
async function watch(selector = '.text') {
  await page.evaluate((selector) => {
    globalThis.texts = []
    new MutationObserver(() => {
      const now = [...document.querySelectorAll(`.answer ${selector}`)].at(-1)?.textContent ?? ''
      if (now !== globalThis.texts.at(-1)) globalThis.texts.push(now)
    }).observe(document.body, { subtree: true, childList: true, characterData: true })
  }, selector)
  return () => page.evaluate(() => globalThis.texts)
}

describe('the page', () => {
  test('shows the text as it arrives, in many steps', async () => {
    const texts = await watch()
    await ask()
    await finished()
    const steps = await texts()
    assert.ok(steps.length > 10, `${steps.length} steps`)
    assert.match(steps.at(-1), ANSWER)
    for (const step of steps) assert.ok(steps.at(-1).startsWith(step))
    assert.equal(await answer().locator('.note').count(), 0)
    assert.deepEqual(problems, [])
  })

  test('shows an interrupted answer without a gap, and a note that it was recovered', async () => {
    await choose('Disconnects', 'disconnect')
    const texts = await watch()
    await ask()
    await finished()
    const steps = await texts()
    assert.match(steps.at(-1), ANSWER)
    for (const step of steps) assert.ok(steps.at(-1).startsWith(step), step)
    await answer().getByText('was recovered').waitFor()
    assert.equal((await requestsOf(0))[0].endedBy, 'disconnect')
    assert.deepEqual(await log(), [
      'Request sent to Main',
      'Main is answering',
      'Main: the connection was lost',
      '305 characters received; only the rest is requested',
      'Request for the rest sent to Spare',
      'Spare is answering',
      'The answer is complete',
    ])
    assert.deepEqual(problems, [])
  })

  test("aborts the provider's stream when the user stops the answer, and keeps the text so far", async () => {
    await ask()
    await text().waitFor()
    await page.getByRole('button', { name: 'Stop' }).click()
    await answer().getByText('You stopped this answer.').waitFor()
    await until(async () => (await requestsOf(0))[0].endedBy === 'client', 'the end of the stream')
    const partial = await text().textContent()
    assert.ok(partial.length > 0 && !ANSWER.test(partial))
    await page.waitForTimeout(200)
    assert.equal(await text().textContent(), partial)
    assert.equal((await api('status')).counters.inFlight, 0)
    await until(async () => (await log()).at(-1) === 'Stopped by the user', 'the entry in the log')
    assert.deepEqual(problems, [])
  })

  test('keeps the conversation across a reload mid-answer, and aborts the stream', async () => {
    await ask('A question')
    await text().waitFor()
    await page.reload()
    await answer().getByText('The page was closed').waitFor()
    await page.getByText('A question').waitFor()
    await until(async () => (await requestsOf(0))[0].endedBy === 'client', 'the end of the stream')
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('button', { name: 'Stop' }).waitFor()
    await finished()
    assert.match(await text().textContent(), ANSWER)
    assert.deepEqual(problems, [])
  })

  test('shows in an outage how another provider takes over and how the breaker of the first one opens', async () => {
    await choose('Outage', 'outage')
    for (let round = 1; round <= 3; round++) {
      await ask(`Question ${round}`)
      await text().waitFor()
      if (round < 3) await page.getByRole('button', { name: 'Stop' }).click()
    }
    await page.locator('.endpoints li').filter({ hasText: 'Main' }).getByText('paused').waitFor()
    await finished()
    await answer().getByText('Answered by Spare').waitFor()
    assert.match(await text().textContent(), ANSWER)
    assert.ok((await api('status')).counters.fallbacks >= 3)
    assert.deepEqual(problems, [])
  })

  test('reports that every provider is down, and recovers when one is up again', async () => {
    await choose('All down', 'all-down')
    const waits = await watch('.thinking span')
    await ask()
    const notice = answer().getByRole('alert')
    await notice.waitFor({ timeout: 30_000 })
    assert.match(await notice.textContent(), /^No provider is available/)
    assert.ok((await waits()).some((text) => /^Retrying in \d s …$/.test(text)))
    const entries = await log()
    assert.match(entries.at(-1), /^The call failed/)
    // An open breaker is logged after the failure that opened it.
    for (const [index, entry] of entries.entries()) {
      if (entry.endsWith('its circuit breaker is open')) assert.match(entries[index - 1], /failed with status 503$/)
    }
    assert.ok((await api('status')).counters.retries > 0)
    await choose('Healthy', 'none')
    // The breakers allow a probe once their timeout elapses.
    await until(async () => {
      await page.getByRole('button', { name: 'Try again' }).click()
      await until(async () => (await text().count()) > 0 || (await notice.count()) > 0, 'an answer or a notice')
      return (await text().count()) > 0
    }, 'an answer')
    await finished()
    assert.match(await text().textContent(), ANSWER)
    assert.deepEqual(problems, [])
  })

  for (const [width, colorScheme] of [
    [360, 'dark'],
    [768, 'light'],
    [1600, 'dark'],
  ]) {
    test(`fits a ${colorScheme} screen of ${width} pixels`, async () => {
      await page.setViewportSize({ width, height: 780 })
      await page.emulateMedia({ colorScheme })
      await ask('a'.repeat(300))
      await text().waitFor()
      const provider = page.getByRole('button', { name: 'Provider' })
      if (await provider.isVisible()) {
        const { x, width: buttonWidth } = await provider.boundingBox()
        assert.ok(x + buttonWidth <= width && (await provider.textContent()).endsWith('Healthy'))
        await provider.click()
      }
      assert.ok(await page.locator('#panel').isVisible())
      const [inner, content] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth])
      assert.ok(content <= inner, `${content} pixels wide`)
      const { y, height } = await page.locator('.composer').boundingBox()
      assert.ok(y + height <= 780)
      assert.deepEqual(problems, [])
    })
  }

  test('can be used with the keyboard alone', async () => {
    await page.getByLabel('Your message').focus()
    await page.keyboard.type('One line')
    await page.keyboard.press('Shift+Enter')
    await page.keyboard.type('and another')
    await page.keyboard.press('Enter')
    assert.equal(await page.locator('.question p').textContent(), 'One line\nand another')
    await text().waitFor()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await answer().getByText('You stopped this answer.').waitFor()
    await page.getByRole('radio', { name: 'Healthy' }).focus()
    await page.keyboard.press('ArrowRight')
    await until(async () => (await api('status')).fault === 'disconnect')
    assert.deepEqual(problems, [])
  })
})

test('the development server serves a working page at its IP address too', async (t) => {
  if (!process.env.APPS_DIR) return t.skip('the app is installed by scripts/apps.mjs')
  const next = ['node_modules/next/dist/bin/next', 'dev', '--port', await freePort()]
  const { url, child, exited } = await start(context, process.execPath, next, { cwd: join(APPS, 'nextjs') })
  // `next dev` starts a server process, which exits with it only on SIGTERM.
  context.after(() => child.kill('SIGTERM') && exited)
  await page.goto(url.replace('localhost', '127.0.0.1'))
  await page.locator('#panel').getByText('Main', { exact: true }).waitFor({ timeout: 60_000 })
})

test('the API rejects invalid requests', async () => {
  for (const body of ['{"mess', '{}', 'null', '{"messages":[]}', '{"messages":5}', '{"messages":["x"]}']) {
    const response = await fetch(`${url}/api/chat`, { method: 'POST', body })
    assert.equal(response.status, 400, body)
  }
  assert.equal((await fetch(`${url}/api/fault`, { method: 'PUT', body: '{"fault":"x"}' })).status, 400)
})

test('the routes of docs/nextjs.md run unchanged', async (t) => {
  if (!process.env.APPS_DIR) return t.skip('they are built by scripts/apps.mjs')
  const simulator = await startSimulator({ answer: 'Xin chào 🐑' })
  context.after(() => simulator.close())
  const guide = await serve({ HOLYSHEEP_API_KEY: 'no-key-needed', HOLYSHEEP_BASE_URL: simulator.url })
  const post = (path, body) => fetch(`${guide.url}/guide/${path}`, { method: 'POST', body })
  const ask = async (path) => {
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }] })
    return (await post(path, body)).text()
  }
  for (const path of ['events', 'text', 'shout']) {
    for (const body of ['{"mess', 'null', '{"messages":"x"}']) {
      const response = await post(path, body)
      assert.equal(response.status, 400, `${path} ${body}`)
      assert.equal((await response.json()).error.type, 'invalid_request_error')
    }
  }
  const { headers } = await post('shout', '{"messages":[{"role":"user","content":"Hi"}]}')
  assert.equal(headers.get('content-type'), 'text/plain; charset=utf-8')
  assert.equal(headers.get('x-accel-buffering'), 'no')
  assert.equal(await ask('text'), 'Xin chào 🐑')
  assert.equal(await ask('shout'), 'XIN CHÀO 🐑')
  assert.match(await ask('events'), /^data: \{"id":[\s\S]*\n\ndata: \[DONE\]\n\n$/)

  // With a key the page uses that provider and cannot choose a fault.
  await page.goto(guide.url)
  await page.getByText('HolySheep', { exact: true }).last().waitFor()
  assert.equal(await page.getByRole('radio').count(), 0)
})
