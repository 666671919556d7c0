// The intended use of the wrappers of the HolySheep tutorials, and uses that the declarations must reject.
import {
  BoundedRetryQueue,
  batchProcess,
  batchStream,
  createClientWithTimeout,
  HolySheepAIClient,
  HolySheepRetryManager,
  type HolySheepStreamingClient,
  handleConnectionReset,
  ModelDegradationManager,
  MultiProviderRouter,
  RetryAIManager,
  RetryConfig,
  retryWithBackoff,
  streamWithTimeout,
  TimeoutAIManager,
  validateApiKey,
} from 'holysheep'

const messages = [{ role: 'user', content: 'x' }]

export async function use() {
  const valid: true = validateApiKey('sk-x')
  const client: HolySheepStreamingClient = createClientWithTimeout('short', { maxRetries: 1, rotateEndpoints: true })
  const manager = new HolySheepRetryManager('sk', { maxConcurrent: 5 })
  const completion = await manager.executeWithRetry({ messages }, { onRetry: (_n, error, ms) => [error.message, ms] })
  const streamed = await manager.executeWithRetry({ messages, stream: true, onChunk: (text) => text.length })
  const request = { messages, partialResponse: '' }
  if (await handleConnectionReset(new Error(), request, 0, 3)) request.partialResponse += 'x'
  const response: Response = await streamWithTimeout('http://x', { partialBuffer: 'x' }, 5)
  const answer = await retryWithBackoff(async () => 5, { retryable: [TypeError], jitter: 'equal' })
  const timed = await new TimeoutAIManager('sk', { tiers: { FAST: 5 } }).callWithTimeout(messages, 'faq')
  const retried = await new RetryAIManager('sk', new RetryConfig({ maxRetries: 1 })).callWithRetry(messages)
  const degraded = await new ModelDegradationManager('sk').callWithDegradation(messages, 'gpt-4.1')
  const chat = await new HolySheepAIClient('sk', { retryDelay: 5 }).chatCompletion('m', messages, { maxTokens: 5 })
  const router = new MultiProviderRouter()
  router.recordLatency(router.getEndpointName(router.selectEndpoint()), 5)
  const queue = new BoundedRetryQueue(3, 5, { concurrency: 1 })
  await queue.addTask('a', 'x')
  for await (const result of queue.processWithRetry()) {
    if ('response' in result) result.response.length
    else [result.error.length, result.cause]
  }
  for await (const result of batchStream(['x', messages])) if (result.success) result.result.length
  const [first] = await batchProcess(['x'], { onProgress: ({ estimatedMsLeft }) => estimatedMsLeft?.toFixed() })
  return [
    valid,
    client.maxRetries,
    completion.choices,
    streamed.text,
    response.ok,
    answer.toFixed(),
    timed.success ? timed.latencyMs : timed.cause.message,
    retried.success ? retried.modelUsed : retried.statusCode,
    degraded.success ? degraded.fallbackTriggered : degraded.candidatesTried,
    chat.id,
    first?.success === false && first.cause,
  ]
}

export function rejected() {
  // @ts-expect-error a failed result has no data
  new TimeoutAIManager().callWithTimeout(messages).then((result) => result.data)
  // @ts-expect-error no such tier
  new TimeoutAIManager('sk', { tiers: { SLOW: 5 } })
  // @ts-expect-error a misspelled option
  retryWithBackoff(() => 5, { attempts: 5 })
}
