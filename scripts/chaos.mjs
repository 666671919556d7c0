// Random bad days: seeded fault scripts against the simulator, every answer compared byte for byte.
//   npm run chaos -- --scripts 10000             so many scripts, from a random seed
//   npm run chaos -- --scripts 10000 --seed N    so many, from this seed on
//   npm run chaos -- --seed N                    one script, told step by step
//
// In most scripts the provider gives the rest in the end: then what was delivered must be the answer, byte for
// byte, with one request for each break and one more for each refusal of a style. In the others it never does:
// then the outcome must be a typed error whose `partial` is exactly what was delivered and a prefix of the answer,
// and the rest must follow when the provider is well again and the error's snapshot is resumed.
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

/**
 * A text with two readings: where the same letters come twice in a row at its beginning or at that of a word (`l`, then
 * `lamas`), or 16 characters and more come twice in a row anywhere. Cut between the two, the exact rest is the same
 * bytes as the last ones said again, so nobody can tell them apart.
 */
function isAmbiguous(text) {
  const twice = (word, least) => {
    const points = [...word]
    for (let n = least; 2 * n <= points.length; n++) {
      if (points.slice(0, n).join('') === points.slice(n, 2 * n).join('')) return true
    }
    return false
  }
  const words = text.match(/[\p{L}\p{M}]+/gu) ?? []
  // One sign that comes again at the beginning is a longer run: the fence of a code block.
  return twice(text.slice(0, 200), 2) || words.some((word) => twice(word, 1)) || /(.{16,})\1/su.test(text)
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
/** How long a provider asks for a pause. */
const WAIT_MS = 5
const BEFORE = [
  { status: 503 },
  { label: 'wait', status: 429, retryAfterMs: WAIT_MS },
  { connectReset: true },
  { closeBeforeHeaders: true },
]
const FACES = ['textStream', 'chunks', 'streamWithRetry', 'chat']

/** A provider that stalls and pings is alive by its own word: only a deadline ends that. */
const withoutEndlessPings = ({ pings, ...scenario }) =>
  scenario.disconnect?.how === 'stall' || !pings ? scenario : { ...scenario, pings }

/** The script of a seed. */
export function scriptOf(seed, minOverlap) {
  const r = random(seed)
  const kind = pick(r, Object.keys(TEXTS))
  let text = TEXTS[kind](r)
  while (isAmbiguous(text)) text = TEXTS[kind](r)
  const bytes = Buffer.byteLength(text)
  const breaks = Array.from({ length: int(r, 5) }, () => {
    if (r() < 0.15) return pick(r, BEFORE)
    // An event is about 200 bytes around a few letters of text.
    const cut = r() < 0.5 ? { afterChunks: int(r, 1 + bytes / 5) } : { afterBytes: int(r, 60 * bytes) }
    const how = pick(r, HOWS)
    return { label: how, disconnect: { ...cut, how } }
  })
  const shape = () => ({
    text,
    seed: int(r, 2 ** 31),
    onContinue: pick(r, ['exact', 'exact', 'overlap', 'word', 'restart']),
    overlapChars: minOverlap + int(r, 60),
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
    /** What the provider does after the script instead of giving the rest. */
    never: r() < 0.1 ? pick(r, [{ status: 503 }, { status: 401 }, { connectReset: true }]) : undefined,
  }
}

const REQUEST = { messages: [{ role: 'user', content: 'Tell me.' }] }

/** Asks through one face. `told.text` grows with what is delivered; `held` takes how long seams were held. */
async function ask(client, face, told, held) {
  if (face === 'chat') {
    told.text = (await client.chat(REQUEST)).choices[0].message.content
    return
  }
  if (face === 'streamWithRetry') {
    const outcome = await client.streamWithRetry(REQUEST.messages, (piece) => {
      told.text += piece
    })
    if (!outcome.success) throw outcome.error
    return
  }
  const stream = client.stream(REQUEST)
  if (face === 'textStream') for await (const piece of stream.textStream) told.text += piece
  else for await (const chunk of stream) told.text += chunk.choices[0]?.delta.content ?? ''
  const { text, joins, segments } = await stream.result
  if (text !== told.text) throw new Error('result.text is not the sum of the pieces')
  const written = segments.reduce((sum, segment) => sum + segment.characters, 0)
  if (written !== [...text].length) throw new Error('result.segments are not the whole text')
  // A restart is held as long as it repeats what was delivered: that is no new text.
  held.push(...joins.filter(({ kind }) => kind !== 'restart').map(({ bufferedMs }) => bufferedMs))
}

/** No script needs so long: a hang is a failure with a seed. */
const LONGEST_MS = 20_000
const tooLong = () =>
  new Promise((_resolve, reject) => {
    setTimeout(() => reject(new Error(`nothing came of it in ${LONGEST_MS / 1000} s`)), LONGEST_MS).unref()
  })

const difference = (text, wanted) => `delivered ${JSON.stringify(text)}\n  instead of ${JSON.stringify(wanted)}`

/** How long a provider may say nothing in mid-answer. */
const IDLE_MS = 150

/**
 * Moves a test clock on for a call until it is over, and only while the provider's last request is one in which
 * nothing can happen but by time: so no timeout strikes an answer that is well, however slow the machine.
 */
async function passTime(clock, simulator, call) {
  let over = false
  const end = () => {
    over = true
  }
  call.then(end, end)
  for (const until = Date.now() + 6 * LONGEST_MS; !over && Date.now() < until; ) {
    const { scenario, endedBy } = simulator.requests.at(-1) ?? {}
    if (scenario === 'stall' && endedBy === 'open') await clock.advance(IDLE_MS)
    else if (scenario === 'wait' && endedBy !== 'open') await clock.advance(WAIT_MS)
    else await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** Plays one script, in real time or on a test clock. Resolves to null, or to what is wrong. */
export async function play(script, simulator, held = [], clock = undefined) {
  const healthy = script.scenarios.at(-1)
  simulator.reset()
  simulator.script(...(script.never ? script.scenarios.slice(0, -1) : script.scenarios))
  simulator.setDefault(script.never ?? healthy)
  const client = new HolySheepStreamingClient({
    endpoints: Array.from({ length: script.routes }, (_, i) => ({ name: `route${i}`, baseUrl: simulator.url })),
    maxRetries: script.never ? 2 : 10,
    idleTimeoutMs: IDLE_MS,
    firstTokenTimeoutMs: 5000,
    circuitBreaker: false,
    recovery: { style: script.style, maxRecoveries: 10 },
    retry: { backoff: 'constant', baseDelayMs: clock ? 0 : 1, jitter: 'none' },
  })
  const told = { text: '' }
  try {
    const call = ask(client, script.face, told, held)
    if (clock) await passTime(clock, simulator, call)
    await Promise.race([call, tooLong()])
    // Also where the provider was to give up: a break may lie past the end of the answer.
    if (told.text !== script.text) return difference(told.text, script.text)
    return tooMany(script, simulator.requests)
  } catch (error) {
    if (!(error instanceof HolySheepError)) return `${error.stack}`
    const said = `${error.code} ${error.message}`
    if (!script.text.startsWith(error.partial ?? ''))
      return `${said}\n  and its partial text is no prefix of the answer`
    if (!script.never) return said
    if (script.face !== 'chat' && (error.partial ?? '') !== told.text)
      return `${said}\n  and partial is not what was delivered`
    return error.partial ? await resumed(script, simulator, client, error) : null
  } finally {
    await client.close()
  }
}

/** A break costs one request, and one more for each style that is refused. */
function tooMany(script, requests) {
  const refused = requests.filter(({ json }, index) => index > 0 && refusal(script, json.messages)).length
  const most = script.scenarios.length + refused
  return requests.length > most ? `${requests.length} requests, where ${most} are enough` : null
}

const refusal = (script, messages) =>
  messages.at(-1).role === 'assistant' && script.scenarios.some(({ refusePrefill }) => refusePrefill)

/** The provider is well again: the snapshot brings the rest. */
async function resumed(script, simulator, client, error) {
  simulator.setDefault(script.scenarios.at(-1))
  const stream = client.resume(JSON.parse(JSON.stringify(error.snapshot)))
  let rest = ''
  for await (const piece of stream.textStream) rest += piece
  const whole = error.partial + rest
  if (whole !== script.text) return `resumed: ${difference(whole, script.text)}`
  return (await stream.result).text === whole ? null : 'result.text of the resumed stream is not the whole answer'
}

/** Plays many scripts, some at a time; on a test clock, which all calls of a thread follow, one by one. */
export async function chaos(count, first, minOverlap, clock = undefined) {
  const failures = []
  const kinds = {}
  const held = []
  let next = 0
  const work = async () => {
    const simulator = await startSimulator()
    while (next < count) {
      const script = scriptOf(first + next++, minOverlap)
      const wrong = await play(script, simulator, held, clock)
      kinds[script.kind] = (kinds[script.kind] ?? 0) + 1
      if (wrong) failures.push({ seed: script.seed, kind: script.kind, wrong })
    }
    await simulator.close()
  }
  await Promise.all(Array.from({ length: clock ? 1 : 4 }, work))
  return { count, failures, kinds, held: held.sort((a, b) => a - b) }
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      scripts: { type: 'string' },
      seed: { type: 'string' },
      overlap: { type: 'string' },
    },
  })
  const minOverlap = Number(values.overlap ?? 16)
  if (values.seed && !values.scripts) {
    const script = scriptOf(Number(values.seed), minOverlap)
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
    const { count, failures, kinds, held } = await chaos(Number(values.scripts ?? 1000), first, minOverlap)
    for (const { seed, kind, wrong } of failures.slice(0, 20)) console.log(`seed ${seed} (${kind}): ${wrong}\n`)
    const at = (share) => held[Math.floor(share * (held.length - 1))]
    console.log(
      `${held.length} seams, restarts aside; the text was held ${at(0.5)} ms at the median, ${at(0.99)} at p99, ${at(1)} at most`,
    )
    console.log(`seeds ${first} to ${first + count - 1}; ${JSON.stringify(kinds)}; ${Date.now() - started} ms`)
    console.log(`${count - failures.length} passed, ${failures.length} failed`)
    process.exitCode = failures.length === 0 ? 0 : 1
  }
}
