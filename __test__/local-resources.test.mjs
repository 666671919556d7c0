// A process that may start no thread, or open no file: typed errors, no provider is blamed, and later calls work.
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { startSimulator } from 'holysheep/simulator'
import { root } from './support/child.mjs'

const PROGRAM = 'local-resources.mjs'

/** Simulators for a child, and its argument. */
async function providers(t, { tls = false, host = '127.0.0.1' } = {}) {
  const [simulator, other] = [await startSimulator({ tls }), await startSimulator()]
  t.after(() => Promise.all([simulator.close(), other.close()]))
  const url = simulator.url.replace('127.0.0.1', host)
  return { simulator, argument: { url, other: other.url, ca: tls ? simulator.certificate : undefined } }
}

/** A child that runs commands. `run` resolves to the result of one. */
async function startChild(t, [file, ...args], options = {}) {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'], timeout: 600_000, ...options })
  t.after(() => child.kill('SIGKILL'))
  const ended = new Promise((resolve) => {
    child.on('exit', (code, signal) => resolve({ value: JSON.stringify({ exit: signal ?? code }) }))
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => JSON.parse((await Promise.race([lines.next(), ended])).value)
  assert.deepEqual(await next(), {})
  const run = (command, argument) => {
    child.stdin.write(`${JSON.stringify([command, argument])}\n`)
    return next()
  }
  return { child, run }
}

function assertLacks(result, pattern) {
  assert.deepEqual([result.name, result.code], ['HolySheepError', 'LOCAL_RESOURCE'], JSON.stringify(result))
  assert.match(result.message, pattern)
}

const NO_DESCRIPTOR = /file descriptor.*EMFILE.*ulimit -n/

/** A child with 64 descriptors. */
async function withFewDescriptors(t, argument, env = {}) {
  const script = `ulimit -n 64; exec "$0" "$@"`
  const program = join(root, '__test__/support', PROGRAM)
  const args = [process.execPath, program, root, JSON.stringify(argument)]
  return startChild(t, ['sh', '-c', script, ...args], { env: { ...process.env, ...env } })
}

test('without a descriptor', { skip: process.platform === 'win32' }, async (t) => {
  for (const target of [{}, { host: 'localhost' }, { tls: true, host: 'localhost' }]) {
    await t.test(`calls wait for one, then fail, and blame nobody: ${JSON.stringify(target)}`, async (t) => {
      const { argument } = await providers(t, target)
      const { run } = await withFewDescriptors(t, argument)
      await run('warm')
      assert.deepEqual(await run('hold'), { ok: 'EMFILE' })
      for (let call = 0; call < 3; call++) {
        const result = await run('chat')
        assertLacks(result, NO_DESCRIPTOR)
        assert.deepEqual(result.attempts, ['LOCAL_RESOURCE'])
      }
      const attempt = await run('chat', { connectTimeoutMs: 600_000, attemptTimeoutMs: 50 })
      assertLacks(attempt, NO_DESCRIPTOR)
      assertLacks(await run('models'), NO_DESCRIPTOR)
      assert.deepEqual(await run('health'), { ok: ['LOCAL_RESOURCE', 'LOCAL_RESOURCE'] })
      assert.deepEqual(await run('breakers'), { ok: ['CLOSED', 'CLOSED'] })
      // Waits until one is free again.
      await run('start', { connectTimeoutMs: 600_000 })
      await run('free')
      assert.deepEqual(await run('finish'), { ok: 'a 1' })
    })
  }

  await t.test('the runtime starts later, and the simulator says why it cannot listen', async (t) => {
    const { argument } = await providers(t)
    const { run } = await withFewDescriptors(t, argument)
    await run('hold')
    for (const command of [
      'chat',
      'stream',
      'callback',
      'models',
      'health',
      'simulator',
      'clock',
      'limiter',
      'watch',
    ]) {
      assertLacks(await run(command), NO_DESCRIPTOR)
    }
    await run('free')
    assert.deepEqual(await run('chat'), { ok: 'a 1' })
    await run('hold')
    assertLacks(await run('simulator'), NO_DESCRIPTOR)
    assertLacks(await run('clock'), NO_DESCRIPTOR)
  })

  await t.test('no set of root certificates that lacks some is kept', async (t) => {
    const { simulator, argument } = await providers(t, { tls: true })
    const folder = mkdtempSync(join(tmpdir(), 'holysheep-roots-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'root.pem')
    writeFileSync(file, simulator.certificate)
    for (const env of [
      { SSL_CERT_FILE: file, SSL_CERT_DIR: '' },
      { SSL_CERT_FILE: '', SSL_CERT_DIR: folder },
    ]) {
      const { run } = await withFewDescriptors(t, { ...argument, ca: undefined }, { NODE_EXTRA_CA_CERTS: '', ...env })
      await run('create')
      await run('simulator')
      await run('hold')
      assertLacks(await run('chat'), NO_DESCRIPTOR)
      await run('free')
      assert.deepEqual(await run('chat'), { ok: 'a 1' })
    }
    const { run } = await withFewDescriptors(t, { ...argument, ca: undefined }, { NODE_EXTRA_CA_CERTS: file })
    await run('hold')
    assertLacks(await run('create'), /root\.pem cannot be opened.*EMFILE/)
    await run('free')
    assert.deepEqual(await run('chat'), { ok: 'a 1' })
  })

  await t.test('more calls than descriptors are answered one after the other, by the first endpoint', async (t) => {
    const { simulator, argument } = await providers(t, { host: 'localhost' })
    simulator.setDefault({ headersDelayMs: 50 })
    const { run } = await withFewDescriptors(t, argument)
    assert.deepEqual(await run('chats', [200, { connectTimeoutMs: 600_000 }]), { ok: ['a 1'] })
    assert.deepEqual(await run('breakers'), { ok: ['CLOSED', 'CLOSED'] })
  })
})

// The system does not limit root's threads, so the child is another user's, who has no other processes.
const USER = 61_234
const identity = { uid: USER, gid: USER }
const canLimit = process.getuid?.() === 0 && spawnSync('prlimit', ['--nproc'], identity).status === 0

/** How many threads the user has. */
function threads() {
  const statuses = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      try {
        return readFileSync(`/proc/${name}/status`, 'utf8')
      } catch {
        return ''
      }
    })
  const own = statuses.filter((status) => status.match(/^Uid:\s+(\d+)/m)?.[1] === String(USER))
  return own.reduce((sum, status) => sum + Number(status.match(/^Threads:\s+(\d+)/m)[1]), 0)
}

test('without a thread', { skip: canLimit ? false : 'needs root and prlimit' }, async (t) => {
  // The user may not read the repository.
  const folder = mkdtempSync(join(tmpdir(), 'holysheep-threads-'))
  t.after(() => rmSync(folder, { recursive: true }))
  chmodSync(folder, 0o755)
  for (const name of ['dist', 'native', 'package.json'])
    cpSync(join(root, name), join(folder, name), { recursive: true })
  cpSync(join(root, '__test__/support', PROGRAM), join(folder, PROGRAM))
  const limit = (child, count) => execFileSync('prlimit', ['--pid', child.pid, `--nproc=${count}:`], identity)

  const commands = ['chat', 'stream', 'callback', 'models', 'health', 'watch', 'simulator', 'clock', 'limiter']
  for (const command of commands) {
    await t.test(`${command} works or fails with a typed error, and works once there are threads`, async (t) => {
      const { argument } = await providers(t, { host: 'localhost' })
      let worked = 0
      // Enough for every worker of the runtime and one thread that may block.
      for (let free = 0; free <= 6; free++) {
        const args = [process.execPath, join(folder, PROGRAM), folder, JSON.stringify(argument)]
        const { child, run } = await startChild(t, args, { ...identity, cwd: folder, env: { PATH: process.env.PATH } })
        limit(child, threads() + free)
        for (let call = 0; call < 2; call++) {
          const result = await run(command)
          if (free < 2) assertLacks(result, /thread.*EAGAIN.*ulimit -u/)
          else assert.ok('ok' in result || result.code === 'LOCAL_RESOURCE', JSON.stringify(result))
          worked += 'ok' in result
        }
        limit(child, 10_000)
        const result = await run(command)
        assert.ok('exit' in result === false && result.code === undefined, JSON.stringify(result))
        const ended = new Promise((resolve) => child.on('exit', resolve))
        child.kill('SIGKILL')
        await ended
      }
      assert.ok(worked > 0)
    })
  }

  await t.test(
    'workers get typed errors or Node’s own, and the process can exit in the middle of a stream',
    async (t) => {
      const { argument } = await providers(t)
      const outcomes = new Set()
      for (let free = 0; free <= 8; free += 2) {
        const args = [process.execPath, join(folder, PROGRAM), folder, JSON.stringify(argument)]
        const { child, run } = await startChild(t, args, { ...identity, cwd: folder, env: { PATH: process.env.PATH } })
        const ended = new Promise((resolve) => child.on('exit', (...end) => resolve(end)))
        limit(child, threads() + free)
        const { ok } = await run('workers', 3)
        for (const outcome of ok) outcomes.add(outcome)
        await run('exit')
        assert.deepEqual(await ended, [3, null])
      }
      for (const outcome of outcomes) assert.match(outcome, /^(ok|LOCAL_RESOURCE|ERR_WORKER_INIT_FAILED|EAGAIN)$/)
      assert.ok(outcomes.size > 1, [...outcomes].join())
    },
  )
})
