// What a provider sends controls neither a terminal nor the lines of a log.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { HolySheepStreamingClient } from '../index.mjs'
import { node, root } from './support/child.mjs'
import { listen } from './support/listen.mjs'
import { failure, QUICK, REQUEST } from './support/provider.mjs'

const { TerminalFilter, printableLine } = createRequire(import.meta.url)('../dist/cli/terminal.js')

/** A title, a color, the same with C1 controls, a carriage return, and characters that reorder what follows. */
const HOSTILE =
  'a\x1b]0;evil\x07\x1b[31mred\u009b2J\u009d52;c;x\u009c\rb\nfake log line\t\u202etxt.exe\u2066\u2028c\x7f\0'
// biome-ignore lint/suspicious/noControlCharactersInRegex: this is about them
const UNPRINTABLE = /[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/

/** Makes the streams of a child process look like a terminal. */
const TERMINAL = `data:text/javascript,${encodeURIComponent('process.stdout.isTTY = process.stderr.isTTY = true')}`
const BIN = join(root, 'bin/holysheep.js')
const chunk = (content, finish_reason = null) =>
  `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`

async function providerOf(t, answer) {
  const server = createServer((req, res) => {
    req.resume().on('end', () => answer(res))
  })
  return `${await listen(t, server)}/v1`
}
const env = (url) => ({ HOLYSHEEP_BASE_URL: url, HOLYSHEEP_API_KEY: 'sk-test-0123456789' })
const rejects = (res) => {
  const error = JSON.stringify({ error: { message: HOSTILE, code: HOSTILE, type: HOSTILE, param: HOSTILE } })
  res.writeHead(400, { 'content-type': 'application/json', 'x-request-id': 'r\t1' }).end(error)
}

describe('the answer in `holysheep chat`', () => {
  const streams = (res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    // A delta for each character: sequences arrive in parts.
    for (const character of `${HOSTILE}\r`) res.write(chunk(character))
    res.end(`${chunk('\nend', 'stop')}data: [DONE]\n\n`)
  }

  test('is filtered on a terminal', async (t) => {
    const url = await providerOf(t, streams)
    const { code, stdout } = await node(['--import', TERMINAL, BIN, 'chat', 'x'], { env: env(url) })
    assert.equal(code, 0)
    assert.ok(!UNPRINTABLE.test(stdout.replace(/[\n\t]/g, '')), JSON.stringify(stdout))
    assert.ok(stdout.startsWith('a\\u001b]0;evil\\u0007\\u001b[31mred\\u009b2J'), stdout)
    assert.ok(stdout.endsWith('\\u007f\\u0000\nend\n'), stdout)
  })

  test('is unchanged in a pipe', async (t) => {
    const url = await providerOf(t, streams)
    const { stdout } = await node([BIN, 'chat', 'x'], { env: env(url) })
    assert.equal(stdout, `${HOSTILE}\r\nend\n`)
  })

  test('is printable JSON with --json', async (t) => {
    const url = await providerOf(t, streams)
    const { stdout } = await node(['--import', TERMINAL, BIN, 'chat', '--json', 'x'], { env: env(url) })
    assert.ok(!UNPRINTABLE.test(stdout.replaceAll('\n', '')), JSON.stringify(stdout))
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.equal(lines.map(({ text = '' }) => text).join(''), `${HOSTILE}\r\nend`)
  })
})

test('errors and log lines of the command line are printable', async (t) => {
  const url = await providerOf(t, rejects)
  for (const args of [
    ['chat', '-v', 'x'],
    ['chat', '--json', 'x'],
    ['doctor'],
    ['doctor', '--json'],
    ['chat', '-v', '-m', 'a\x1b[31m\nb', 'x'],
  ]) {
    const { code, stdout, stderr } = await node(['--import', TERMINAL, BIN, ...args], { env: env(url) })
    assert.equal(code, 1)
    assert.match(stdout + stderr, /evil/)
    assert.ok(!UNPRINTABLE.test((stdout + stderr).replaceAll('\n', '')), JSON.stringify([stdout, stderr]))
    assert.ok(!/^fake/m.test(stdout + stderr))
  }
})

test('messages, log lines and events are one printable line, and the body keeps the text', async (t) => {
  for (const answer of [
    rejects,
    (res) => res.writeHead(500, { 'content-type': 'text/plain' }).end(`fail ${HOSTILE}`),
    (res) => res.writeHead(502, { 'content-type': 'text/html' }).end(`<html><title>${HOSTILE}</title>`),
    (res) =>
      res
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .end(`data: ${JSON.stringify({ error: { message: HOSTILE } })}\n\n`),
    (res) => res.writeHead(200, { 'content-type': 'text/event-stream' }).end(`data: {"a":${HOSTILE}\n\n`),
    (res) => res.writeHead(302, { location: 'http://a\x80\x9b31mb/' }).end(),
  ]) {
    const lines = []
    const log = (message) => lines.push(message)
    const onEvent = ({ message = '', code = '', requestId = '', providerRequestId = '' }) =>
      lines.push(message, code, requestId ?? '', providerRequestId ?? '')
    const logger = { debug: log, info: log, warn: log, error: log }
    const url = await providerOf(t, answer)
    const options = { baseUrl: url, ...QUICK, maxRetries: 1, logger, onEvent }
    const client = new HolySheepStreamingClient('sk-test-0123456789', options)
    t.after(() => client.close())
    for (let error = await failure(client.chat({ ...REQUEST, model: 'm\n\x1b[0m' })); error; error = error.cause) {
      const {
        message,
        providerMessage = '',
        providerCode = '',
        type = '',
        param = '',
        requestId = '',
        attempts,
      } = error
      lines.push(message, providerMessage, providerCode, type, param, requestId)
      lines.push(...attempts.flatMap((attempt) => [attempt.message ?? '', attempt.requestId]))
      if (error.body?.startsWith('{"error":{"message"')) assert.equal(JSON.parse(error.body).error.message, HOSTILE)
    }
    for (const line of lines) assert.ok(!UNPRINTABLE.test(line), JSON.stringify(line))
    const health = await client.healthCheck()
    assert.ok(!UNPRINTABLE.test(health[0].error ?? ''))
  }
})

test('an invalid option is named on one line', () => {
  for (const options of [{ 'x\n\x1b[0m': 1 }, { baseUrl: 'http://\x1b[31m\nx' }, { model: 1, 'a\u2028': 2 }]) {
    assert.throws(
      () => new HolySheepStreamingClient('sk-test-0123456789', options),
      ({ message }) => !UNPRINTABLE.test(message),
    )
  }
})

test('the filter keeps text, and joins a line break that is cut', () => {
  const filter = new TerminalFilter()
  assert.equal(filter.filter('Xin chào 🐑\t👩‍👧 שלום\u200f\r'), 'Xin chào 🐑\t👩‍👧 שלום\u200f')
  assert.equal(filter.filter('\nb\rc\r'), '\nb\\u000dc')
  assert.equal(filter.filter('d'), '\\u000dd')
  assert.equal(filter.filter('\r') + filter.end(), '\\u000d')
  assert.equal(printableLine('a\nb'), 'a\\u000ab')
})
