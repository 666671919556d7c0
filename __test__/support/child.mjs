// Runs scripts in separate processes.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** The prelude of every `run` script: imports the package, starts a simulator and creates a client. */
export const PRELUDE = `
import * as holysheep from './index.mjs'
import { startSimulator } from './simulator.mjs'
const messages = [{ role: 'user', content: 'x' }]
const { HolySheepStreamingClient } = holysheep
const simulator = await startSimulator({ answer: 'one two three' })
const client = new HolySheepStreamingClient('sk-test', { baseUrl: simulator.url, retry: { baseDelayMs: 1 } })
`

/**
 * Runs Node and resolves to `{ code, signal, stdout, stderr }`. A process that hangs is killed after ten minutes, longer
 * than a busy machine needs.
 */
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

/** Runs a module that starts with the prelude. */
export function run(script, { flags = [], ...options } = {}) {
  return node([...flags, '--input-type=module', '-e', PRELUDE + script], options)
}
