// Starts an app in a separate process, as a user would.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

/** Where the apps are installed: as `scripts/apps.mjs` sets it, or in the source tree. */
export const APPS = process.env.APPS_DIR ?? fileURLToPath(new URL('../../examples', import.meta.url))

/** Starts a process and waits until it prints the address it listens on. It is killed when the test ends. */
export async function start(t, command, args, { cwd, env = {} }) {
  // Without a key the examples start a simulator.
  const { HOLYSHEEP_API_KEY: _, ...inherited } = process.env
  const child = spawn(command, args, { cwd, env: { ...inherited, ...env } })
  const app = { child, output: '', exited: once(child, 'exit') }
  t.after(() => child.kill('SIGKILL'))
  app.url = await new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        app.output += text
        const url = app.output.match(/http:\/\/[\w.]+:\d+/)?.[0]
        if (url) resolve(url)
      })
    }
    child.on('error', reject)
    child.on('exit', (code) => reject(new Error(`exited with ${code}: ${app.output}`)))
  })
  return app
}

/** Waits up to 30 s for a condition. */
export async function until(condition, what = 'the condition') {
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`${what} did not come true`)
}

/** A port that is free right now, for a server that cannot choose one itself. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return String(port)
}
