// Chaos test: seeded scripts of random faults against the simulator, with every answer compared byte for byte.
//   npm run chaos -- --scripts 10000             10,000 scripts from a random seed
//   npm run chaos -- --scripts 10000 --seed N    10,000 scripts from seed N
//   npm run chaos -- --seed N                    one script, with its requests printed
//
// In most scripts the provider recovers in the end: then the delivered text must be the answer, byte for byte, with one
// request for each fault and one more for each style that is rejected. In some it behaves like a model that does not obey
// when it is asked for the rest, or never recovers. Then the outcome may be a typed error too, whose `partial` is exactly the
// delivered text and a prefix of the answer; where it never recovers, the rest must follow when it has recovered and the
// error's snapshot is resumed.
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
 * Whether a text is ambiguous: its start or the start of a word repeats the same letters twice in a row (`l`, then
 * `lamas`), or 16 characters or more are repeated anywhere. If the stream is interrupted between the two, the exact rest
 * starts with the same bytes as a repetition of the last ones, so the two cases cannot be distinguished.
 */
function isAmbiguous(text) {
  const repeatsItsStart = (word, minLength) => {
    const points = [...word]
    for (let n = minLength; 2 * n <= points.length; n++) {
      if (points.slice(0, n).join('') === points.slice(n, 2 * n).join('')) return true
    }
    return false
  }
  const words = text.match(/[\p{L}\p{M}]+/gu) ?? []
  // At the start of the text a single repeated character is allowed: the fence of a code block.
  return (
    repeatsItsStart(text.slice(0, 200), 2) ||
    words.some((word) => repeatsItsStart(word, 1)) ||
    /(.{16,})\1/su.test(text)
  )
}

const TEXTS = {
  english: (r) => `${sentence(r, WORDS.english)}.`,
  vietnamese: (r) => `${sentence(r, WORDS.vietnamese)}.`,
  emoji: (r) => sentence(r, WORDS.emoji),
  code: (r) => `\`\`\`js\n${lines(r, (i) => `const value${i} = compute(${i}, ${int(r, 1000)})`)}\n\`\`\`\nDone.`,
  list: (r) => `${lines(r, (i) => `${i + 1}. ${sentence(r, WORDS.vietnamese, 6)}`)}.`,
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
/** Words that do not come twice in a row, nor two of them: after the first time, the rest and a repetition look alike. */
function sentence(r, words, maxWords = 60) {
  const picked = []
  for (const length = 4 + int(r, maxWords); picked.length < length; ) {
    const word = pick(r, words)
    const [before, last] = picked.slice(-3, -1)
    if (word !== picked.at(-1) && !(word === last && picked.at(-1) === before)) picked.push(word)
  }
  return picked.join(' ')
}

/** What a provider does that obeys, and what models do that do not; some only with texts of some kinds. */
const OBEDIENT = ['asked', 'overlap', 'restart']
const DISOBEDIENT = ['exact', 'word', 'echo', 'empty', 'preamble', 'near', 'middle', 'instruction']
const OF_KIND = { english: ['glued'], vietnamese: ['glued'], table: ['header'] }

const DISCONNECTS = ['reset', 'close', 'stall', 'errorEvent', 'errorEventNamed', 'malformed', 'done', 'noFinish']
/** The `Retry-After` of a 429. */
const WAIT_MS = 5
const BEFORE = [
  { status: 503 },
  { label: 'wait', status: 429, retryAfterMs: WAIT_MS },
  { connectReset: true },
  { closeBeforeHeaders: true },
]
const FORMS = ['assistant', 'continue_final_message', 'prefix', 'partial']
const METHODS = ['textStream', 'chunks', 'streamWithRetry', 'chat']

/** Removes the pings of a provider that stalls, because with pings only a deadline would end the call. */
const withoutEndlessPings = ({ pings, ...scenario }) =>
  scenario.disconnect?.how === 'stall' || !pings ? scenario : { ...scenario, pings }

/** The script of a seed. */
export function scriptOf(seed, minOverlap) {
  const r = random(seed)
  const kind = pick(r, Object.keys(TEXTS))
  let text = TEXTS[kind](r)
  while (isAmbiguous(text)) text = TEXTS[kind](r)
  const bytes = Buffer.byteLength(text)
  const faults = Array.from({ length: int(r, 5) }, () => {
    if (r() < 0.15) return pick(r, BEFORE)
    // An event is about 200 bytes around a few letters of text.
    const cut = r() < 0.5 ? { afterChunks: int(r, 1 + bytes / 5) } : { afterBytes: int(r, 60 * bytes) }
    const how = pick(r, DISCONNECTS)
    return { label: how, disconnect: { ...cut, how } }
  })
  // A provider that continues the turn, or rejects the form, or is not told to.
  const form = random(seed ^ 0x5eed5eed)
  const continuation = form() < 0.3 ? pick(form, FORMS) : 'none'
  const isNative = continuation !== 'none' && form() < 0.8
  const native = isNative
    ? { continues: continuation, onContinue: 'exact' }
    : continuation !== 'none'
      ? { rejectAssistantTail: pick(form, [400, 422]) }
      : {}
  const shape = () => ({
    text,
    seed: int(r, 2 ** 31),
    onContinue: r() < 0.6 ? pick(r, OBEDIENT) : pick(r, [...DISOBEDIENT, ...(OF_KIND[kind] ?? [])]),
    overlapChars: minOverlap + int(r, 60),
    lineEnd: pick(r, ['lf', 'crlf', 'cr']),
    ...(r() < 0.2 && { packets: pick(r, ['bytes', 7, 100]) }),
    ...(r() < 0.1 && { pings: { everyMs: 5 } }),
    ...(r() < 0.1 && { rejectAssistantTail: 400 }),
    ...native,
  })
  return {
    seed,
    kind,
    text,
    routes: 1 + int(r, 3),
    method: pick(r, METHODS),
    style: pick(r, ['auto', 'auto', 'anchored', 'dialog', 'system', 'repeat']),
    continuation,
    scenarios: [...faults.map((fault) => withoutEndlessPings({ ...shape(), ...fault })), shape()],
    /** The scenario after the script if the provider never recovers. */
    never: r() < 0.1 ? pick(r, [{ status: 503 }, { status: 401 }, { connectReset: true }]) : undefined,
  }
}

const REQUEST = { messages: [{ role: 'user', content: 'Tell me.' }] }

/** Makes a call with one method. `delivered.text` collects its text, `joinDelays` how long each join was buffered. */
async function ask(client, method, delivered, joinDelays) {
  if (method === 'chat') {
    delivered.text = (await client.chat(REQUEST)).choices[0].message.content
    return
  }
  if (method === 'streamWithRetry') {
    const outcome = await client.streamWithRetry(REQUEST.messages, (delta) => {
      delivered.text += delta
    })
    if (!outcome.success) throw outcome.error
    return
  }
  const stream = client.stream(REQUEST)
  if (method === 'textStream') for await (const delta of stream.textStream) delivered.text += delta
  else for await (const chunk of stream) delivered.text += chunk.choices[0]?.delta.content ?? ''
  const { text, joins, segments } = await stream.result
  if (text !== delivered.text) throw new Error('result.text is not the sum of the deltas')
  const written = segments.reduce((sum, segment) => sum + segment.characters, 0)
  if (written !== [...text].length) throw new Error('result.segments do not add up to the text')
  // A restart is buffered while it repeats the delivered text, which delays no new text.
  joinDelays.push(...joins.filter(({ kind }) => kind !== 'restart').map(({ bufferedMs }) => bufferedMs))
}

/** No script takes longer, so a hang is reported as a failure with its seed. */
const TIMEOUT_MS = 20_000
const timeout = () =>
  new Promise((_resolve, reject) => {
    setTimeout(() => reject(new Error(`no outcome within ${TIMEOUT_MS / 1000} s`)), TIMEOUT_MS).unref()
  })

const difference = (text, wanted) => `delivered ${JSON.stringify(text)}\n  instead of ${JSON.stringify(wanted)}`

/** How long a provider may be silent mid-answer. */
const IDLE_MS = 150

/**
 * Advances a test clock until a call is over, but only while the provider's last request is one in which
 * nothing happens unless time passes. So no timeout fires in a healthy answer, however slow the machine is.
 */
async function passTime(clock, simulator, call) {
  let over = false
  const end = () => {
    over = true
  }
  call.then(end, end)
  const isWaiting = () => simulator.requests.some(({ scenario }) => scenario === 'wait')
  for (const until = Date.now() + 6 * TIMEOUT_MS; !over && Date.now() < until; ) {
    const { scenario, endedBy } = simulator.requests.at(-1) ?? {}
    if (scenario === 'stall' && endedBy === 'open') await clock.advance(IDLE_MS)
    // A route that was told to wait may be tried only after others.
    else if (isWaiting() && endedBy !== 'open') await clock.advance(WAIT_MS)
    else await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** Plays one script, in real time or on a test clock. Resolves to its problem, or to null. */
export async function play(script, simulator, joinDelays = [], clock = undefined) {
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
    continuation: script.continuation,
    recovery: { style: script.style, maxRecoveries: 10 },
    retry: { backoff: 'constant', baseDelayMs: clock ? 0 : 1, jitter: 'none' },
  })
  const delivered = { text: '' }
  try {
    const call = ask(client, script.method, delivered, joinDelays)
    if (clock) await passTime(clock, simulator, call)
    await Promise.race([call, timeout()])
    // Also if the provider never recovers, because its fault can lie past the end of the answer.
    if (delivered.text !== script.text) return difference(delivered.text, script.text)
    // The other styles ask for words that prove nothing after a sentence.
    const isCounted = isObedient(script) && !['dialog', 'system'].includes(script.style)
    return isCounted ? excessRequests(script, simulator.requests) : null
  } catch (error) {
    if (!(error instanceof HolySheepError)) return `${error.stack}`
    // A fault after the finish reason makes the call fail, and nothing is missing.
    if (error.partial === script.text && error.message.includes('after its finish reason')) return null
    const description = `${error.code} ${error.message}`
    if (!script.text.startsWith(error.partial ?? ''))
      return `${description}\n  and its partial text is not a prefix of the answer`
    if (!script.never) {
      // A route that is silent twice at the same place is not asked a third time.
      const stalls = script.scenarios.filter(({ label }) => label === 'stall').length
      if (stalls > 1 && ['RETRIES_EXHAUSTED', 'STREAM_INTERRUPTED'].includes(error.code)) return null
      // An error that a provider does not explain is requested once more.
      const unexplained = script.scenarios.filter(({ label }) => /^errorEvent/.test(label)).length
      if (error.code === 'SERVER_ERROR' && delivered.text === '' && unexplained > 1) return null
      if (error.code !== 'STREAM_INTERRUPTED' || (script.method !== 'chat' && error.partial !== delivered.text))
        return description
      return isUnvouched(script, error) ? null : description
    }
    if (script.method !== 'chat' && (error.partial ?? '') !== delivered.text)
      return `${description}\n  and partial is not the delivered text`
    return error.partial ? await resumed(script, simulator, client, error) : null
  } finally {
    await client.close()
  }
}

/** Typed errors after continuations that nothing vouches for. */
const errors = { count: 0 }

/** Whether nothing vouches for the rest. Counts it. */
function isUnvouched(script, error) {
  // What is left of a sentence may be its full stop, which proves nothing.
  const isDone = !/[\p{L}\p{N}\p{S}]/u.test(script.text.slice(error.partial.length))
  if (isObedient(script) && !isDone) return false
  errors.count++
  return true
}

/** Whether every continuation of a script repeats what it is asked to repeat, or is native. */
const isObedient = ({ scenarios }) =>
  scenarios.every(({ onContinue, continues }) => !onContinue || continues || OBEDIENT.includes(onContinue))

/** A fault costs one request, and one more for each form that is rejected. */
function excessRequests(script, requests) {
  const rejected = requests.filter(({ json }, index) => index > 0 && isRejected(script, json.messages)).length
  const limit = script.scenarios.length + rejected
  return requests.length > limit ? `${requests.length} requests instead of at most ${limit}` : null
}

const isRejected = (script, messages) =>
  messages.at(-1).role === 'assistant' && script.scenarios.some(({ rejectAssistantTail }) => rejectAssistantTail)

/** Resumes the snapshot against the recovered provider, which must complete the answer. */
async function resumed(script, simulator, client, error) {
  simulator.setDefault(script.scenarios.at(-1))
  const stream = client.resume(JSON.parse(JSON.stringify(error.snapshot)))
  let rest = ''
  try {
    for await (const delta of stream.textStream) rest += delta
  } catch (thrown) {
    const isExact = thrown.partial === error.partial + rest && script.text.startsWith(thrown.partial)
    if (thrown.code === 'STREAM_INTERRUPTED' && isExact && isUnvouched(script, thrown)) return null
    return `resumed: ${thrown.code} ${thrown.message}`
  }
  const complete = error.partial + rest
  if (complete !== script.text) return `resumed: ${difference(complete, script.text)}`
  return (await stream.result).text === complete ? null : 'result.text of the resumed stream is not the complete answer'
}

/** Plays many scripts concurrently, or one by one on a test clock, which applies to every call of the thread. */
export async function chaos(count, first, minOverlap, clock = undefined) {
  const failures = []
  const kinds = {}
  const joinDelays = []
  let next = 0
  const worker = async () => {
    const simulator = await startSimulator()
    while (next < count) {
      const script = scriptOf(first + next++, minOverlap)
      const problem = await play(script, simulator, joinDelays, clock)
      kinds[script.kind] = (kinds[script.kind] ?? 0) + 1
      if (problem) failures.push({ seed: script.seed, kind: script.kind, problem })
    }
    await simulator.close()
  }
  await Promise.all(Array.from({ length: clock ? 1 : 4 }, worker))
  return { count, failures, kinds, joinDelays: joinDelays.sort((a, b) => a - b) }
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
    const problem = await play(script, simulator)
    for (const { json, endedBy } of simulator.requests) console.log(endedBy, JSON.stringify(json.messages))
    console.log(problem ?? 'delivered byte for byte')
    await simulator.close()
    process.exitCode = problem ? 1 : 0
  } else {
    const first = values.seed ? Number(values.seed) : Math.floor(Math.random() * 2 ** 30)
    const started = Date.now()
    const { count, failures, kinds, joinDelays } = await chaos(Number(values.scripts ?? 1000), first, minOverlap)
    for (const { seed, kind, problem } of failures.slice(0, 20)) console.log(`seed ${seed} (${kind}): ${problem}\n`)
    const at = (share) => joinDelays[Math.floor(share * (joinDelays.length - 1))]
    console.log(
      `${joinDelays.length} joins without restarts, buffered for ${at(0.5)} ms at the median, ${at(0.99)} ms at p99, ${at(1)} ms at most`,
    )
    console.log(`seeds ${first} to ${first + count - 1}; ${JSON.stringify(kinds)}; ${Date.now() - started} ms`)
    console.log(`${errors.count} calls ended in a typed error with the exact beginning`)
    console.log(`${count - failures.length} passed, ${failures.length} failed`)
    process.exitCode = failures.length === 0 ? 0 : 1
  }
}
