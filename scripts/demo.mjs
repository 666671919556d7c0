// Shows the main feature: the provider fails in several ways, and the answers arrive complete.
//   npm run demo                      against the built-in simulator, no key needed
//   npm run demo -- --live "prompt"   against the real API, with HOLYSHEEP_API_KEY
import { HolySheepStreamingClient } from 'holysheep'
import { startSimulator } from 'holysheep/simulator'

const ANSWERS = [
  {
    language: 'Tiếng Việt',
    question: 'Vì sao một câu trả lời phải đến nơi trọn vẹn?',
    answer:
      'Vì nửa câu trả lời không phải là câu trả lời. Khi mạng chập chờn, máy chủ quá tải hay kết nối bị đứt, ' +
      'người đọc vẫn cần từng chữ một, đúng thứ tự, không thừa, không thiếu. 🐑',
    // The last one disconnects in the middle of a word.
    faults: [
      { status: 429, retryAfter: 1 },
      { status: 503 },
      { connectReset: true },
      { chunkDelayMs: 15, chunkChars: 3, disconnect: { afterChunks: 22, how: 'reset' } },
    ],
  },
  {
    language: 'English',
    question: 'What does a good client do when the provider fails?',
    answer:
      'It honors Retry-After and never retries sooner. It retries what can succeed and reports what cannot. ' +
      'And it delivers the complete answer, every chunk once and in order. ✅',
    faults: [{ firstTokenDelayMs: 1500, chunkDelayMs: 15 }],
  },
]

const dim = (text) => (process.stdout.isTTY ? `\x1b[2m${text}\x1b[0m` : text)
let midLine = false
const print = (text) => {
  process.stdout.write(text)
  midLine = !text.endsWith('\n')
}
/** Notes taken mid-answer are printed after it, so that they do not split its text. */
const deferred = []
const note = (text) => {
  if (midLine) deferred.push(text)
  else print(`${dim(`  · ${text}`)}\n`)
}
const endAnswer = () => {
  if (midLine) print('\n')
  for (const text of deferred.splice(0)) note(`mid-answer: ${text}`)
}

/** Prints what failed and what the client did about it. */
function onEvent(event) {
  if (event.type === 'attempt-failed') note(`attempt ${event.attempt} failed: ${event.message}`)
  if (event.type === 'wait') note(`the client waits ${event.ms} ms (${event.reason}), then retries`)
  if (event.type === 'first-token' && event.firstTokenMs > 1000)
    note(`the first token took ${event.firstTokenMs} ms, within the timeout`)
  if (event.type === 'recovery') note(`the client asks for the rest after ${event.received} characters`)
  if (event.type === 'fallback') note(`the client fails over to ${event.endpoint} with ${event.model}`)
}

async function ask(client, question, language) {
  print(`\n${language}: ${question}\n`)
  const stream = client.stream({ messages: [{ role: 'user', content: question }] })
  let text = ''
  for await (const delta of stream.textStream) {
    text += delta
    print(delta)
  }
  endAnswer()
  return { text, ...(await stream.result) }
}

function table(rows) {
  const head = ['answer', 'attempt', 'what happened', 'waited', 'deltas']
  const width = head.map((name, column) => Math.max(name.length, ...rows.map((row) => String(row[column]).length)))
  const line = (row) => `  ${row.map((cell, column) => String(cell).padEnd(width[column])).join('  ')}`
  print(`\n${[head, width.map((n) => '-'.repeat(n)), ...rows].map(line).join('\n')}\n`)
}

const rowsOf = (name, attempts) =>
  attempts.map(({ attempt, outcome, status, waitMs, deltas }) => [
    name,
    attempt,
    status === undefined || status === 200 ? outcome : `${status} ${outcome}`,
    `${waitMs} ms`,
    deltas,
  ])

async function simulated() {
  const simulator = await startSimulator()
  const client = new HolySheepStreamingClient('no-key-needed', {
    baseUrl: simulator.url,
    retry: { baseDelayMs: 200, maxDelayMs: 2000 },
    onEvent,
  })
  print(`A simulator that fails on purpose listens on ${simulator.url}\n`)
  const rows = []
  let complete = true
  for (const { language, question, answer, faults } of ANSWERS) {
    simulator.script(...faults.map((scenario) => ({ text: answer, ...scenario })))
    simulator.setDefault({ text: answer, chunkDelayMs: 15, onContinue: 'word' })
    const { text, attempts } = await ask(client, question, language)
    rows.push(...rowsOf(language, attempts))
    complete &&= text === answer
  }
  table(rows)
  await client.close()
  await simulator.close()
  return complete
}

async function live(prompt) {
  if (!process.env.HOLYSHEEP_API_KEY) throw new Error('--live needs HOLYSHEEP_API_KEY in the environment')
  const client = new HolySheepStreamingClient({ onEvent })
  const { attempts, finishReason } = await ask(client, prompt, 'live')
  table(rowsOf('live', attempts))
  return finishReason !== null
}

const [flag, prompt] = process.argv.slice(2)
if (flag !== undefined && (flag !== '--live' || !prompt)) {
  console.error('usage: npm run demo [-- --live "prompt"]')
  process.exit(2)
}
try {
  const complete = await (flag ? live(prompt) : simulated())
  print(`\nanswer complete: ${complete ? 'yes' : 'no'}\n`)
  process.exitCode = complete ? 0 : 1
} catch (error) {
  endAnswer()
  note(`${error.name}: ${error.message}`)
  print('\nanswer complete: no\n')
  process.exitCode = 1
}
