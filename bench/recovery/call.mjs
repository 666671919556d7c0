// One cut call: through the client and the proxy, and everything that a person needs to judge it.
import { HolySheepError, HolySheepStreamingClient } from '../../index.mjs'

/** Delays that do not change what is joined: retries at once, a stall noticed early, and an end to everything. */
const OPTIONS = {
  retry: { baseDelayMs: 1, jitter: 'none' },
  connectTimeoutMs: 10_000,
  firstTokenTimeoutMs: 60_000,
  idleTimeoutMs: 3_000,
  totalTimeoutMs: 180_000,
}

const sameMessage = (a) => (b) => JSON.stringify(a) === JSON.stringify(b)

/** What the client added to the messages over all requests, without the answer so far, as texts. */
function addedMessages(requests, original) {
  const added = requests.flatMap(({ messages }) => messages.filter((message) => !original.some(sameMessage(message))))
  return [...new Set(added.filter(({ role }) => role !== 'assistant').map(({ content }) => String(content)))]
}

async function deliver(client, request, record) {
  if (request.tools) {
    const { choices } = await client.chat(request)
    const [choice] = choices
    record.final = choice.message.tool_calls?.[0]?.function.arguments ?? ''
    record.finishReason = choice.finish_reason
    return
  }
  record.final = ''
  const stream = client.stream(request)
  // The same error comes from the iterator.
  stream.result.catch(() => {})
  for await (const text of stream.textStream) record.final += text
  const result = await stream.result
  record.finishReason = result.finishReason
  record.joins = result.joins
  record.segments = result.segments?.length
}

/**
 * Makes a call that is cut. `upstream` has `baseUrl` and `identity`; `form` has the options of the client. Undefined if the
 * uncut answer is too short to be cut, or if the client did not stream.
 */
export async function cutCall({ proxy, upstream, form, testCase, temperature, model, maxTokens, delays = {} }) {
  const id = `${Math.random().toString(36).slice(2)}`
  const { cut, share, isInDelta } = testCase
  const request = { model, temperature, seed: testCase.seed, max_tokens: maxTokens, ...testCase.request }
  const record = { kind: testCase.kind, prompt: request.messages[0].content, temperature, cut, isInDelta }
  const delivered = testCase.request.tools ? undefined : () => record.final
  const plan = { upstream: upstream.baseUrl, identity: upstream.identity, cut, share, isInDelta, delivered }
  const { baseUrl, call } = proxy.prepare(id, plan)
  const client = new HolySheepStreamingClient('sk-bench', { baseUrl, ...OPTIONS, ...delays, ...form.options })
  const started = Date.now()
  try {
    await deliver(client, request, record)
  } catch (error) {
    record.error = { typed: error instanceof HolySheepError, code: error.code ?? error.name, message: error.message }
    if (typeof error.partial === 'string') record.final = error.partial
  } finally {
    await client.close()
    proxy.forget(id)
  }
  if (call.before === undefined)
    throw new Error(`the call was not cut: ${JSON.stringify(record.error ?? record.final)}`)
  if ([...call.uncut].length < 24) return undefined
  const added = addedMessages(call.requests, request.messages)
  const { before, uncut, uncutReason } = call
  return { ...record, before, uncut, uncutReason, added, requests: call.requests.length, ms: Date.now() - started }
}
