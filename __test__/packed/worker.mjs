// Two workers at once after the main thread, and a third that is terminated mid-stream.
import { Worker } from 'node:worker_threads'
import './app.mjs'

const exited = (worker) => new Promise((resolve) => worker.once('exit', resolve))
const workers = [new Worker('./app.cjs'), new Worker('./app.mjs'), new Worker('./app.cjs')]
const codes = await Promise.all(workers.slice(0, 2).map(exited))
await workers[2].terminate()
if (codes.some((code) => code !== 0)) process.exitCode = 1
