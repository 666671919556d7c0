// Random bad days: seeded fault scripts against the simulator, every answer compared byte for byte.
//   npm run chaos -- --scripts 10000 [--seed N]     N scripts from a seed
//   npm run chaos -- --only SEED                    one script, told step by step
import { parseArgs } from 'node:util'
import { HolySheepError, HolySheepStreamingClient } from 'holysheep'
import { startSimulator } from 'holysheep/simulator'

const WORDS = {
  english: 'the quick brown fox jumps over a lazy dog while three llamas keep humming their happy morning song'.split(
    ' ',
  ),
  vietnamese:
    'khi mạng chập chờn và máy chủ quá tải người đọc vẫn cần từng chữ một đúng thứ tự không thừa không thiếu nghiêng'.split(
      ' ',
    ),
  emoji: ['👩‍👩‍👧‍👦', '🐑', '👍🏽', 'ok', '🏳️‍🌈', 'tốt', '✅', '🇻🇳', 'go'],
}

/** A small generator of random numbers (mulberry32, public domain). */
function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const TEXTS = {
  english: (r) => sentence(r, WORDS.english),
  vietnamese: (r) => sentence(r, WORDS.vietnamese),
  emoji: (r) => sentence(r, WORDS.emoji),
  code: (r) => `\`\`\`js\n${lines(r, (i) => `const value${i} = compute(${i}, ${int(r, 1000)})`)}\n\`\`\`\nDone.`,
  list: (r) => lines(r, (i) => `${i + 1}. ${sentence(r, WORDS.vietnamese, 6)}`),
  table: (r) =>
    `| name | count |\n| --- | --- |\n${lines(r, (i) => `| row ${i} ${pick(r, WORDS.english)} | ${int(r, 100)} |`)}`,
  json: (r) =>
    JSON.stringify(
      Array.from({ length: 2 + int(r, 12) }, (_, i) => ({ id: i, name: pick(r, WORDS.english) })),
      null,
      1,
    ),
}
const int = (r, below) => Math.floor(r() * below)
const pick = (r, list) => list[int(r, list.length)]
const lines = (r, line) => Array.from({ length: 3 + int(r, 12) }, (_, i) => line(i)).join('\n')
const sentence = (r, words, most = 60) => Array.from({ length: 4 + int(r, most) }, () => pick(r, words)).join(' ')

const HOWS = ['reset', 'close', 'stall', 'errorEvent', 'errorEventNamed', 'malformed', 'done', 'noFinish']
const BEFORE = [{ status: 503 }, { status: 429, retryAfterMs: 5 }, { connectReset: true }, { closeBeforeHeaders: true }]
const FACES = ['textStream', 'chunks', 'streamWithRetry', 'chat']

/** A provider that stalls and pings is alive by its own word: only a deadline ends that. */
const withoutEndlessPings = ({ pings, ...scenario }) =>
  scenario.cut?.how === 'stall' || !pings ? scenario : { ...scenario, pings }

/** The script of a seed. */
export function scriptOf(seed, overlapMin) {
  const r = random(seed)
  const kind = pick(r, Object.keys(TEXTS))
  const text = TEXTS[kind](r)
  const bytes = Buffer.byteLength(text)
  const breaks = Array.from({ length: int(r, 5) }, () => {
    if (r() < 0.15) return pick(r, BEFORE)
    // An event is about 200 bytes around a few letters of text.
    const cut = r() < 0.5 ? { afterPieces: int(r, 1 + bytes / 5) } : { afterBytes: int(r, 60 * bytes) }
    return { cut: { ...cut, how: pick(r, HOWS) } }
  })
  const shape = () => ({
    text,
    seed: int(r, 2 ** 31),
    onContinue: pick(r, ['exact', 'exact', 'overlap', 'word', 'restart']),
    overlapChars: overlapMin + int(r, 60),
    lineEnd: pick(r, ['lf', 'crlf', 'cr']),
    ...(r() < 0.2 && { packets: pick(r, ['bytes', 7, 100]) }),
    ...(r() < 0.1 && { pings: { everyMs: 5 } }),
    ...(r() < 0.1 && { refusePrefill: true }),
  })
  return {
    seed,
    kind,
    text,
    routes: 1 + int(r, 3),
    face: pick(r, FACES),
    style: pick(r, ['dialog', 'dialog', 'anchored', 'system', 'prefill']),
    scenarios: [...breaks.map((fault) => withoutEndlessPings({ ...shape(), ...fault })), shape()],
  }
}

/** Asks through one face; resolves to the text that was delivered. */
async function ask(client, face) {
  const request = { messages: [{ role: 'user', content: 'Tell me.' }] }
  let text = ''
  if (face === 'chat') return (await client.chat(request)).choices[0].message.content
  if (face === 'streamWithRetry') {
    const outcome = await client.streamWithRetry(request.messages, (piece) => {
      text += piece
    })
    if (!outcome.success) throw outcome.error
    return text
  }
  const stream = client.stream(request)
  if (face === 'textStream') for await (const piece of stream.textStream) text += piece
  else for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
  const result = await stream.result
  if (result.text !== text) throw new Error('result.text is not the sum of the pieces')
  return text
}

/** No script needs so long: a hang is a failure with a seed. */
const tooLong = () =>
  new Promise((_resolve, reject) => {
    setTimeout(() => reject(new Error('nothing came of it in 20 s')), 20_000).unref()
  })

/** Plays one script. Resolves to null, or to what is wrong. */
export async function play(script, simulator) {
  simulator.reset()
  simulator.script(...script.scenarios)
  simulator.setDefault(script.scenarios.at(-1))
  const client = new HolySheepStreamingClient({
    endpoints: Array.from({ length: script.routes }, (_, i) => ({ name: `route${i}`, baseUrl: simulator.url })),
    maxRetries: 10,
    idleTimeoutMs: 150,
    firstTokenTimeoutMs: 5000,
    circuitBreaker: false,
    recovery: { mode: 'continue', style: script.style, maxRecoveries: 10 },
    retry: { backoff: 'constant', baseDelayMs: 1, jitter: 'none' },
  })
  try {
    const text = await Promise.race([ask(client, script.face), tooLong()])
    if (text !== script.text) return `delivered ${JSON.stringify(text)}\n  instead of ${JSON.stringify(script.text)}`
  } catch (error) {
    if (!(error instanceof HolySheepError)) return `${error.stack}`
    const exact = script.text.startsWith(error.partial ?? '')
    return `${error.code} ${error.message}${exact ? '' : '\n  and its partial text is no prefix of the answer'}`
  } finally {
    await client.close()
  }
  return null
}

/** Plays many scripts, some at a time. */
export async function chaos(count, first, overlapMin, workers = 4) {
  const failures = []
  const kinds = {}
  let next = 0
  const work = async () => {
    const simulator = await startSimulator()
    while (next < count) {
      const script = scriptOf(first + next++, overlapMin)
      const wrong = await play(script, simulator)
      kinds[script.kind] = (kinds[script.kind] ?? 0) + 1
      if (wrong) failures.push({ seed: script.seed, kind: script.kind, wrong })
    }
    await simulator.close()
  }
  await Promise.all(Array.from({ length: workers }, work))
  return { count, failures, kinds }
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      scripts: { type: 'string', default: '1000' },
      seed: { type: 'string' },
      only: { type: 'string' },
      overlap: { type: 'string' },
    },
  })
  const overlapMin = Number(values.overlap ?? 16)
  if (values.only) {
    const script = scriptOf(Number(values.only), overlapMin)
    console.log(JSON.stringify(script, null, 2))
    const simulator = await startSimulator()
    const wrong = await play(script, simulator)
    for (const { json, endedBy } of simulator.requests) console.log(endedBy, JSON.stringify(json.messages))
    console.log(wrong ?? 'delivered byte for byte')
    await simulator.close()
    process.exitCode = wrong ? 1 : 0
  } else {
    const first = values.seed ? Number(values.seed) : Math.floor(Math.random() * 2 ** 30)
    const started = Date.now()
    const { count, failures, kinds } = await chaos(Number(values.scripts), first, overlapMin)
    for (const { seed, kind, wrong } of failures.slice(0, 20)) console.log(`seed ${seed} (${kind}): ${wrong}\n`)
    console.log(`seeds ${first} to ${first + count - 1}; ${JSON.stringify(kinds)}; ${Date.now() - started} ms`)
    console.log(`${count - failures.length} passed, ${failures.length} failed`)
    process.exitCode = failures.length === 0 ? 0 : 1
  }
}
