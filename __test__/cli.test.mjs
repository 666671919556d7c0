// The command line, run as from a shell.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createSocketServer } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { root } from './support/child.mjs'
import { ANSWER, KEY, manualProvider, provider, until } from './support/provider.mjs'
import { httpProxy } from './support/proxy.mjs'

const BIN = join(root, 'bin/holysheep.js')
const CLEAN_ENV = {
  HOLYSHEEP_API_KEY: '',
  HOLYSHEEP_BASE_URL: '',
  HTTPS_PROXY: '',
  HTTP_PROXY: '',
  ALL_PROXY: '',
  SSL_CERT_DIR: '',
}

/** Starts the program; `ended` is `{ code, signal, stdout, stderr }`. */
function start(args, { env = {}, input } = {}) {
  const child = spawn(process.execPath, [BIN, ...args], {
    env: { ...process.env, ...CLEAN_ENV, ...env },
    timeout: 600_000,
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      output[name] += text
    })
  }
  if (input !== null) child.stdin.end(input ?? '')
  const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, ...output })))
  return { child, output, ended }
}
const run = (args, options) => start(args, options).ended

/** The environment variables that select a provider. */
const envOf = (simulator) => ({ HOLYSHEEP_BASE_URL: simulator.url, HOLYSHEEP_API_KEY: KEY })

describe('chat', () => {
  test('writes the answer as it arrives, and nothing else', async (t) => {
    const simulator = await provider(t)
    const result = await run(['chat', 'Xin', 'chào'], { env: envOf(simulator) })
    assert.deepEqual(result, { code: 0, signal: null, stdout: `${ANSWER}\n`, stderr: '' })
    const { json, headers } = simulator.requests[0]
    assert.deepEqual(json.messages, [{ role: 'user', content: 'Xin chào' }])
    assert.equal(headers.authorization, `Bearer ${KEY}`)
  })

  test('accepts a model, a system message, a token limit, and several endpoints in order', async (t) => {
    const [first, second] = [await provider(t), await provider(t)]
    first.setDefault({ status: 500 })
    const args = ['-m', 'deepseek-v3.2', '--system=Be short.', '--max-tokens', '9', '-e', first.url, '-e', second.url]
    const { code, stdout } = await run(['chat', ...args, 'Hi'], { env: { HOLYSHEEP_API_KEY: KEY } })
    assert.deepEqual([code, stdout], [0, `${ANSWER}\n`])
    const { model, max_tokens, messages } = second.requests[0].json
    assert.deepEqual([model, max_tokens, messages.map(({ role }) => role)], ['deepseek-v3.2', 9, ['system', 'user']])
  })

  test('reads the prompt from stdin if it is missing or -', async (t) => {
    const simulator = await provider(t)
    for (const args of [['chat'], ['chat', '-']]) {
      assert.equal((await run(args, { env: envOf(simulator), input: 'from a pipe\n' })).code, 0)
      assert.equal(simulator.requests.at(-1).json.messages[0].content, 'from a pipe\n')
    }
    const { code, stderr } = await run(['chat'], { env: envOf(simulator) })
    assert.deepEqual([code, stderr.startsWith('holysheep: no prompt:')], [2, true])
  })

  test('--json writes one object per line: the text, then the result', async (t) => {
    const simulator = await provider(t)
    const { code, stdout } = await run(['chat', '--json', 'Hi'], { env: envOf(simulator) })
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    const result = lines.pop()
    assert.equal(code, 0)
    assert.ok(lines.every(({ type }) => type === 'text'))
    assert.equal(lines.map(({ text }) => text).join(''), ANSWER)
    assert.deepEqual(
      [result.type, result.finishReason, result.attempts.length, 'text' in result],
      ['result', 'stop', 1, false],
    )
    simulator.setDefault({ status: 401 })
    const failed = await run(['chat', '--json', 'Hi'], { env: envOf(simulator) })
    const { type, code: word, remedy } = JSON.parse(failed.stdout)
    assert.deepEqual([failed.code, type, word, failed.stderr], [1, 'error', 'AUTH_FAILED', ''])
    assert.match(remedy, /HOLYSHEEP_API_KEY/)
  })

  test('recovers an interrupted answer, and --verbose reports it on stderr', async (t) => {
    const simulator = await provider(t)
    simulator.script({ disconnect: { afterChunks: 3 } })
    const { code, stdout, stderr } = await run(['chat', '-v', 'Hi'], { env: envOf(simulator) })
    assert.deepEqual([code, stdout], [0, `${ANSWER}\n`])
    assert.match(stderr, /^holysheep: attempt 1 \(first\)[\s\S]*was interrupted after/)
    assert.match(stderr, /complete after \d+ ms and 2 attempts at/)
    assert.ok(!stderr.includes(KEY))
    assert.match((await run(['chat', '-v', 'Hi'], { env: envOf(simulator) })).stderr, /and 1 attempt at/)
  })

  test('--verbose reports retries and, after three seconds without an answer, what it is waiting for', async (t) => {
    const manual = await manualProvider(t)
    const { output, ended } = start(['chat', '-v', 'Hi'], { env: envOf(manual) })
    await until(() => manual.requests.length === 1)
    manual.requests[0].response.writeHead(503, { 'retry-after-ms': '1' }).end()
    await until(() => manual.requests.length === 2)
    await until(() => output.stderr.includes('still waiting'))
    manual.requests[1].answer(ANSWER)
    const { stdout, stderr } = await ended
    assert.equal(stdout, `${ANSWER}\n`)
    assert.match(stderr, /attempt 1 .* failed: SERVER_ERROR[\s\S]*waiting \d+ ms/)
    assert.equal(stderr.match(/attempt 2: no answer yet from \S+ \(\S+\); still waiting/g)?.length, 1, stderr)
    // Timers are 40 times slower here, so that the three seconds do not pass on a slow machine.
    const slowTimers =
      'const { setTimeout } = globalThis; globalThis.setTimeout = (act, ms, ...args) => setTimeout(act, 40 * ms, ...args)'
    const env = {
      ...envOf(await provider(t)),
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(slowTimers)}`,
    }
    assert.ok(!(await run(['chat', '-v', 'Hi'], { env })).stderr.includes('no answer yet'))
  })

  test('reports a failure in one or two lines on stderr: the cause and the remedy', async (t) => {
    const simulator = await provider(t)
    simulator.setDefault({ status: 401, body: `wrong key ${KEY}\nsecond line` })
    for (const [env, words] of [
      [envOf(simulator), /^holysheep: .*401.*\n {2}The provider rejected the key/],
      [{ HOLYSHEEP_API_KEY: KEY, HOLYSHEEP_BASE_URL: 'http://127.0.0.1:1' }, /refused.*\n {2}Nothing listens there/],
    ]) {
      const { code, stdout, stderr } = await run(['chat', 'Hi'], { env })
      assert.deepEqual([code, stdout], [1, ''])
      assert.match(stderr, words)
      assert.equal(stderr.trimEnd().split('\n').length, 2)
      assert.ok(!/\n\s+at /.test(stderr) && !stderr.includes(KEY))
    }
    const { code, stderr } = await run(['chat', 'Hi'])
    assert.deepEqual([code, /^holysheep: no key: set HOLYSHEEP_API_KEY/.test(stderr)], [2, true])
    const without = await run(['chat', '-e', (await provider(t)).url, 'Hi'])
    assert.equal(without.stdout, `${ANSWER}\n`)
  })

  test('exits immediately on Ctrl-C, with code 130 and the text received so far', async (t) => {
    const simulator = await provider(t)
    simulator.setDefault({ chunks: ['first ', 'second'], disconnect: { afterChunks: 1, how: 'stall' } })
    const { child, output, ended } = start(['chat', 'Hi'], { env: envOf(simulator) })
    await until(() => output.stdout !== '')
    child.kill('SIGINT')
    assert.deepEqual(await ended, { code: 130, signal: null, stdout: 'first \n', stderr: '' })
    await until(() => simulator.openConnections === 0)
    await until(() => simulator.requests[0].endedBy === 'client')
  })

  test('does not treat a closed output pipe as an error', async (t) => {
    const simulator = await provider(t)
    simulator.setDefault({ repeat: 50_000, chunks: ['many ', 'words '] })
    const { child, ended } = start(['chat', 'Hi'], { env: envOf(simulator) })
    child.stdout.once('data', () => child.stdout.destroy())
    const { code, stderr } = await ended
    assert.deepEqual([code, stderr], [0, ''])
    await until(() => simulator.openConnections === 0)
  })
})

describe('doctor', () => {
  const checksOf = async (args, env) => {
    const { code, stdout, stderr } = await run(['doctor', '--json', ...args], { env })
    // Node itself warns about certificates that it cannot read.
    assert.equal(stderr.replace(/^.*Ignoring extra certs.*\n(\(Use .*\n)?/gm, ''), '')
    assert.ok(!stdout.includes(KEY))
    const { ok, checks } = JSON.parse(stdout)
    assert.equal(code, ok ? 0 : 1)
    return Object.fromEntries(checks.map(({ name, ...check }) => [name, check]))
  }

  test('reports every check that passes', async (t) => {
    const simulator = await provider(t)
    const { code, stdout } = await run(['doctor'], { env: envOf(simulator) })
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => line.slice(0, 26).trim().split(/ {2,}/))
    assert.equal(code, 0, stdout)
    for (const name of ['addon', 'node', 'certificates', 'proxy', 'key', 'endpoint', 'clock']) {
      assert.ok(
        names.some(([mark, has]) => has === name && mark !== 'FAIL'),
        `${name} in ${stdout}`,
      )
    }
    assert.ok(!stdout.includes(KEY))
    assert.match(stdout, /HTTP 200 after \d+ ms/)
  })

  test('reports a key that is missing, unusual or rejected', async (t) => {
    const simulator = await provider(t, { apiKey: 'another-key' })
    const rejected = await checksOf([], envOf(simulator))
    assert.equal(rejected.endpoint.ok, false)
    assert.match(rejected.endpoint.detail, /HTTP 401 after \d+ ms: AUTH_FAILED/)
    assert.match(rejected.endpoint.remedy, /rejected the key/)
    const missing = await checksOf(['-e', simulator.url], {})
    assert.deepEqual([missing.key.ok, missing.key.detail], [false, 'HOLYSHEEP_API_KEY is not set'])
    const strange = await checksOf(['-e', simulator.url], { HOLYSHEEP_API_KEY: 'another-key' })
    assert.deepEqual([strange.key.ok, strange.key.remedy, strange.endpoint.ok], [true, undefined, true])
    assert.match(strange.key.detail, /^HOLYSHEEP_API_KEY is set, 11 characters; not in HolySheep's format/)
    assert.ok(!JSON.stringify(strange).includes('another-key'))
  })

  test('reports a web server that is not an API, whatever its status', async (t) => {
    const server = createServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html></html>')
    })
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => server.close())
    const url = `http://127.0.0.1:${server.address().port}`
    const { endpoint } = await checksOf(['-e', url], { HOLYSHEEP_API_KEY: KEY })
    assert.equal(endpoint.ok, false)
    assert.match(endpoint.detail, /HTTP 200 .*not a list of models/)
    assert.match(endpoint.remedy, /base URL/)
  })

  test('reports how an endpoint fails', async (t) => {
    const tls = await provider(t, { tls: true })
    const env = { HOLYSHEEP_API_KEY: KEY }
    for (const [url, word] of [
      ['http://127.0.0.1:1/v1', 'ECONNREFUSED'],
      [tls.url, 'ERR_TLS'],
    ]) {
      const { endpoint } = await checksOf(['-e', url], env)
      assert.equal(endpoint.ok, false)
      assert.ok(endpoint.detail.includes(word) && endpoint.remedy, endpoint.detail)
    }
  })

  test('distinguishes a plain HTTP server from a silent one by the step that fails', async (t) => {
    const simulator = await provider(t)
    const silent = createSocketServer().listen(0, '127.0.0.1')
    const open = []
    silent.on('connection', (socket) => open.push(socket.on('error', () => {})))
    await once(silent, 'listening')
    t.after(() => {
      for (const socket of open) socket.destroy()
      silent.close()
    })
    const { port } = silent.address()
    for (const [address, words] of [
      [`127.0.0.1:${simulator.port}`, `use http://127.0.0.1:${simulator.port}/v1`],
      [`127.0.0.1:${port}`, 'TIMEOUT: no connection within 4000 ms'],
      [`127.0.0.1:${port}`, `use http://127.0.0.1:${port}/v1`],
    ]) {
      const { endpoint } = await checksOf(['-e', address], { HOLYSHEEP_API_KEY: KEY })
      assert.ok(endpoint.detail.includes(words), endpoint.detail)
      assert.equal(endpoint.remedy, undefined)
    }
    const { endpoint } = await checksOf(['-e', `http://127.0.0.1:${port}/v1`], { HOLYSHEEP_API_KEY: KEY })
    assert.match(endpoint.detail, /TIMEOUT: no answer within 5000 ms$/)
    assert.match(endpoint.remedy, /^There was no response in time/)
    const nowhere = await checksOf(['-e', 'http://nowhere.invalid/v1'], { HOLYSHEEP_API_KEY: KEY })
    assert.match(nowhere.endpoint.detail, /ENOTFOUND/)
    assert.match(nowhere.endpoint.remedy, /DNS of this machine/)
  })

  test('reports a wrong clock', async (t) => {
    const server = createServer((_, answer) => {
      answer.setHeader('date', new Date(Date.now() - 600_000).toUTCString())
      answer.setHeader('content-type', 'application/json')
      answer.end('{"data":[]}')
    })
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => server.close())
    const { clock, endpoint } = await checksOf(['-e', `http://127.0.0.1:${server.address().port}/v1`], {
      HOLYSHEEP_API_KEY: KEY,
    })
    assert.deepEqual([endpoint.ok, clock.ok], [true, false])
    assert.match(clock.detail, /^(59\d|60\d) s ahead of the endpoint's$/)
  })

  test('names the proxy and the certificates in use, without passwords', async (t) => {
    const simulator = await provider(t)
    const { port } = await httpProxy(t)
    const { proxy, 'extra certificates': extra } = await checksOf(['-e', simulator.url], {
      HTTP_PROXY: `http://user:secret@127.0.0.1:${port}`,
      NO_PROXY: '127.0.0.1',
      NODE_EXTRA_CA_CERTS: '/nowhere.pem',
      HOLYSHEEP_API_KEY: KEY,
    })
    assert.equal(proxy.detail, `HTTP_PROXY=http://…@127.0.0.1:${port}, NO_PROXY=127.0.0.1`)
    assert.deepEqual([extra.ok, /ENOENT/.test(extra.detail)], [null, true])
  })
})

describe('simulate', () => {
  test('listens until a signal ends it, and plays its script', async () => {
    const script = JSON.stringify([{ status: 503 }])
    const { child, output, ended } = start(['simulate', '--answer', 'Hello.', '--script', script], { input: null })
    await until(() => output.stdout.includes('listening'))
    const url = output.stdout.match(/listening on (\S+)/)[1]
    const { stdout } = await run(['chat', 'Hi'], { env: { HOLYSHEEP_BASE_URL: url, HOLYSHEEP_API_KEY: 'any' } })
    assert.equal(stdout, 'Hello.\n')
    child.kill('SIGTERM')
    assert.equal((await ended).code, 0)
  })

  test('rejects an invalid script, an invalid number and a port in use', async (t) => {
    const { port } = await provider(t)
    for (const [args, words] of [
      [['--script', '{}'], /--script: accepted: an array/],
      [['--script', 'nonsense'], /--script: invalid JSON: .*nonsense/],
      [['--script', '[{'], /--script: invalid JSON: .*position 2/],
      [['--script', '[{"statsu":503}]'], /statsu.*\(did you mean status\?\), expected one of .*`kept`; got 503$/m],
      [['--script', '@/nowhere.json'], /--script: ENOENT/],
      [['--default', '{"staus":1}'], /unknown field `staus`/],
      [['--port', 'x'], /--port: got 'x'; accepted: a whole number/],
      [['--port', String(port)], /cannot listen on .*in use/],
    ]) {
      const { code, stderr } = await run(['simulate', ...args])
      assert.equal(code, args[1] === String(port) ? 1 : 2, stderr)
      assert.match(stderr, words)
      assert.equal(stderr.trimEnd().split('\n').length, 1)
    }
  })
})

describe('every command', () => {
  test('has its own help text', async () => {
    for (const command of ['chat', 'doctor', 'simulate']) {
      const [a, b, c] = [await run([command, '--help']), await run([command, '-h']), await run(['help', command])]
      assert.ok(a.code === 0 && a.stdout.startsWith(`holysheep ${command} [options]`) && a.stderr === '')
      assert.deepEqual([b.stdout, c.stdout], [a.stdout, a.stdout])
      assert.ok(a.stdout.split('\n').every((line) => line.length <= 120))
    }
    const all = await run(['--help'])
    assert.deepEqual([all.code, (await run([])).code, (await run(['help'])).stdout], [0, 2, all.stdout])
    assert.match((await run(['--version'])).stdout, /^\d+\.\d+\.\d+/)
  })

  test('suggests the nearest name', async () => {
    for (const [args, words] of [
      [['chta'], "unknown command 'chta'; did you mean chat?"],
      [['toString'], "unknown command 'toString'; see holysheep --help"],
      [['chat', '--modle', 'x', 'Hi'], "unknown option '--modle'; did you mean --model?"],
      [['doctor', '--jsn'], "unknown option '--jsn'; did you mean --json?"],
      [['doctor', 'x'], "unexpected argument 'x'"],
      [['simulate', '--bananas'], "unknown option '--bananas'"],
      [['chat', '--json=yes', 'x'], "Option '--json' does not take an argument"],
    ]) {
      const { code, stdout, stderr } = await run(args)
      assert.deepEqual([code, stdout, stderr], [2, '', `holysheep: ${words}\n`])
    }
  })

  test('can write its help text to a closed pipe', () => {
    const { status, stderr } = spawnSync('sh', ['-c', `"${process.execPath}" "${BIN}" --help | true`], {
      encoding: 'utf8',
    })
    assert.deepEqual([status, stderr], [0, ''])
  })
})
