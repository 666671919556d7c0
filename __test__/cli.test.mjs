// The command line, as a shell runs it.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createSocketServer } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { root } from './support/child.mjs'
import { ANSWER, KEY, provider, providerByHand, until } from './support/provider.mjs'
import { httpProxy } from './support/proxy.mjs'

const BIN = join(root, 'bin/holysheep.js')
const NOTHING = {
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
    env: { ...process.env, ...NOTHING, ...env },
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

/** The environment of a provider. */
const of = (simulator) => ({ HOLYSHEEP_BASE_URL: simulator.url, HOLYSHEEP_API_KEY: KEY })

describe('chat', () => {
  test('writes the answer as it comes, and nothing else', async (t) => {
    const simulator = await provider(t)
    const told = await run(['chat', 'Xin', 'chào'], { env: of(simulator) })
    assert.deepEqual(told, { code: 0, signal: null, stdout: `${ANSWER}\n`, stderr: '' })
    const { json, headers } = simulator.requests[0]
    assert.deepEqual(json.messages, [{ role: 'user', content: 'Xin chào' }])
    assert.equal(headers.authorization, `Bearer ${KEY}`)
  })

  test('takes model, system message, length, and several endpoints in order', async (t) => {
    const [first, second] = [await provider(t), await provider(t)]
    first.setDefault({ status: 500 })
    const args = ['-m', 'deepseek-v3.2', '--system=Be short.', '--max-tokens', '9', '-e', first.url, '-e', second.url]
    const { code, stdout } = await run(['chat', ...args, 'Hi'], { env: { HOLYSHEEP_API_KEY: KEY } })
    assert.deepEqual([code, stdout], [0, `${ANSWER}\n`])
    const { model, max_tokens, messages } = second.requests[0].json
    assert.deepEqual([model, max_tokens, messages.map(({ role }) => role)], ['deepseek-v3.2', 9, ['system', 'user']])
  })

  test('reads the prompt from stdin without one, and with -', async (t) => {
    const simulator = await provider(t)
    for (const args of [['chat'], ['chat', '-']]) {
      assert.equal((await run(args, { env: of(simulator), input: 'from a pipe\n' })).code, 0)
      assert.equal(simulator.requests.at(-1).json.messages[0].content, 'from a pipe\n')
    }
    const { code, stderr } = await run(['chat'], { env: of(simulator) })
    assert.deepEqual([code, stderr.startsWith('holysheep: no prompt:')], [2, true])
  })

  test('--json writes one object a line: pieces, then the result', async (t) => {
    const simulator = await provider(t)
    const { code, stdout } = await run(['chat', '--json', 'Hi'], { env: of(simulator) })
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
    const failed = await run(['chat', '--json', 'Hi'], { env: of(simulator) })
    const { type, code: word, remedy } = JSON.parse(failed.stdout)
    assert.deepEqual([failed.code, type, word, failed.stderr], [1, 'error', 'AUTH_FAILED', ''])
    assert.match(remedy, /HOLYSHEEP_API_KEY/)
  })

  test('a broken answer is healed, and --verbose tells it on stderr', async (t) => {
    const simulator = await provider(t)
    simulator.script({ disconnect: { afterChunks: 3 } })
    const { code, stdout, stderr } = await run(['chat', '-v', 'Hi'], { env: of(simulator) })
    assert.deepEqual([code, stdout], [0, `${ANSWER}\n`])
    assert.match(stderr, /^holysheep: attempt 1 \(first\)[\s\S]*was interrupted after/)
    assert.match(stderr, /complete after \d+ ms and 2 attempts at/)
    assert.ok(!stderr.includes(KEY))
    assert.match((await run(['chat', '-v', 'Hi'], { env: of(simulator) })).stderr, /and 1 attempt at/)
  })

  test('--verbose tells retries, and after three seconds without an answer what is waited for', async (t) => {
    const byHand = await providerByHand(t)
    const { output, ended } = start(['chat', '-v', 'Hi'], { env: of(byHand) })
    await until(() => byHand.requests.length === 1)
    byHand.requests[0].response.writeHead(503, { 'retry-after-ms': '1' }).end()
    await until(() => byHand.requests.length === 2)
    await until(() => output.stderr.includes('still waiting'))
    byHand.requests[1].answer(ANSWER)
    const { stdout, stderr } = await ended
    assert.equal(stdout, `${ANSWER}\n`)
    assert.match(stderr, /attempt 1 .* failed: SERVER_ERROR[\s\S]*waiting \d+ ms/)
    assert.equal(stderr.match(/attempt 2: no answer yet from \S+ \(\S+\); still waiting/g)?.length, 1, stderr)
    // Three seconds are much longer here, so that no machine is too slow for them.
    const slowTimers =
      'const { setTimeout } = globalThis; globalThis.setTimeout = (act, ms, ...of) => setTimeout(act, 40 * ms, ...of)'
    const env = {
      ...of(await provider(t)),
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(slowTimers)}`,
    }
    assert.ok(!(await run(['chat', '-v', 'Hi'], { env })).stderr.includes('no answer yet'))
  })

  test('a failure is a line or two on stderr: what it is, and what can be done', async (t) => {
    const simulator = await provider(t)
    simulator.setDefault({ status: 401, body: `wrong key ${KEY}\nsecond line` })
    for (const [env, words] of [
      [of(simulator), /^holysheep: .*401.*\n {2}The provider rejected the key/],
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

  test('Ctrl-C ends the call at once, with 130 and what had come', async (t) => {
    const simulator = await provider(t)
    simulator.setDefault({ chunks: ['first ', 'second'], disconnect: { afterChunks: 1, how: 'stall' } })
    const { child, output, ended } = start(['chat', 'Hi'], { env: of(simulator) })
    await until(() => output.stdout !== '')
    child.kill('SIGINT')
    assert.deepEqual(await ended, { code: 130, signal: null, stdout: 'first \n', stderr: '' })
    await until(() => simulator.openConnections === 0)
    await until(() => simulator.requests[0].endedBy === 'client')
  })

  test('a reader that goes away is no error', async (t) => {
    const simulator = await provider(t)
    simulator.setDefault({ repeat: 50_000, chunks: ['many ', 'pieces '] })
    const { child, ended } = start(['chat', 'Hi'], { env: of(simulator) })
    child.stdout.once('data', () => child.stdout.destroy())
    const { code, stderr } = await ended
    assert.deepEqual([code, stderr], [0, ''])
    await until(() => simulator.openConnections === 0)
  })
})

describe('doctor', () => {
  const checksOf = async (args, env) => {
    const { code, stdout, stderr } = await run(['doctor', '--json', ...args], { env })
    // Node itself warns of certificates that it cannot read.
    assert.equal(stderr.replace(/^.*Ignoring extra certs.*\n(\(Use .*\n)?/gm, ''), '')
    assert.ok(!stdout.includes(KEY))
    const { ok, checks } = JSON.parse(stdout)
    assert.equal(code, ok ? 0 : 1)
    return Object.fromEntries(checks.map(({ name, ...check }) => [name, check]))
  }

  test('says of each thing that it is well', async (t) => {
    const simulator = await provider(t)
    const { code, stdout } = await run(['doctor'], { env: of(simulator) })
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

  test('tells a key that is missing, strange or refused', async (t) => {
    const simulator = await provider(t, { apiKey: 'another-key' })
    const refused = await checksOf([], of(simulator))
    assert.equal(refused.endpoint.ok, false)
    assert.match(refused.endpoint.detail, /HTTP 401 after \d+ ms: AUTH_FAILED/)
    assert.match(refused.endpoint.remedy, /rejected the key/)
    const missing = await checksOf(['-e', simulator.url], {})
    assert.deepEqual([missing.key.ok, missing.key.detail], [false, 'HOLYSHEEP_API_KEY is not set'])
    const strange = await checksOf(['-e', simulator.url], { HOLYSHEEP_API_KEY: 'another-key' })
    assert.deepEqual([strange.key.ok, strange.key.remedy, strange.endpoint.ok], [true, undefined, true])
    assert.match(strange.key.detail, /^HOLYSHEEP_API_KEY is set, 11 characters; not in HolySheep's format/)
    assert.ok(!JSON.stringify(strange).includes('another-key'))
  })

  test('tells a web server that is no API, whatever its status', async (t) => {
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

  test('tells what kind of failure an endpoint has', async (t) => {
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

  test('tells a server that speaks plain HTTP, and one that is silent, by the step that failed', async (t) => {
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
    for (const [place, words] of [
      [`127.0.0.1:${simulator.port}`, `use http://127.0.0.1:${simulator.port}/v1`],
      [`127.0.0.1:${port}`, 'TIMEOUT: no connection within 4000 ms'],
      [`127.0.0.1:${port}`, `use http://127.0.0.1:${port}/v1`],
    ]) {
      const { endpoint } = await checksOf(['-e', place], { HOLYSHEEP_API_KEY: KEY })
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

  test('tells a clock that is wrong', async (t) => {
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

  test('names the proxy and the certificates that are in use, without passwords', async (t) => {
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
  test('listens until it is told to end, and plays its script', async () => {
    const script = JSON.stringify([{ status: 503 }])
    const { child, output, ended } = start(['simulate', '--answer', 'Hello.', '--script', script], { input: null })
    await until(() => output.stdout.includes('listening'))
    const url = output.stdout.match(/listening on (\S+)/)[1]
    const { stdout } = await run(['chat', 'Hi'], { env: { HOLYSHEEP_BASE_URL: url, HOLYSHEEP_API_KEY: 'any' } })
    assert.equal(stdout, 'Hello.\n')
    child.kill('SIGTERM')
    assert.equal((await ended).code, 0)
  })

  test('refuses what is no script, no number or a port that is taken', async (t) => {
    const { port } = await provider(t)
    for (const [args, words] of [
      [['--script', '{}'], /--script: accepted: an array/],
      [['--script', 'nonsense'], /--script: invalid JSON: .*nonsense/],
      [['--script', '[{'], /--script: invalid JSON: .*position 2/],
      [
        ['--script', '[{"statsu":503}]'],
        /statsu.*\(did you mean status\?\), expected one of .*`overlapChars`; given: 503$/m,
      ],
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
  test('has a help text of its own', async () => {
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

  test('tells what was probably meant', async () => {
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

  test('a help text into a pipe that is closed is no error', () => {
    const { status, stderr } = spawnSync('sh', ['-c', `"${process.execPath}" "${BIN}" --help | true`], {
      encoding: 'utf8',
    })
    assert.deepEqual([status, stderr], [0, ''])
  })
})
