// Runs a script in a process of its own.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Begins every script of `run`: the package, and a provider with a pair of helpers. */
export const PRELUDE = `
import * as holysheep from './index.mjs'
import { startSimulator } from './simulator.mjs'
const messages = [{ role: 'user', content: 'x' }]
const { HolySheepStreamingClient } = holysheep
const simulator = await startSimulator({ answer: 'one two three' })
const client = new HolySheepStreamingClient('sk-test', { baseUrl: simulator.url, retry: { baseDelayMs: 1 } })
`

/** A Node process: `{ code, signal, stdout, stderr }` when it has ended. Killed after ten minutes: nothing hangs so long on a busy machine. */
export function node(args, { env = {}, onOutput, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd, env: { ...process.env, ...env }, timeout: 600_000 })
    const output = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (text) => {
        output[name] += text
        onOutput?.(child, output)
      })
    }
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, ...output }))
  })
}

/** A module with the prelude. */
export function run(script, { flags = [], ...options } = {}) {
  return node([...flags, '--input-type=module', '-e', PRELUDE + script], options)
}
