/**
 * A language model of the AI SDK that calls the engine directly, without HTTP in between. It converts chunks to stream
 * parts, and passes typed errors on unchanged.
 */
import { ReadableStream } from 'node:stream/web'
import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4GenerateResult,
  LanguageModelV4StreamPart,
  LanguageModelV4StreamResult,
} from '@ai-sdk/provider'
import type { CallOptions, ChatCompletionChunk, ClientEvent } from '../../../index'
import type { HolySheepStreamingClient } from '../client'
import { HolySheepError } from '../errors'
import { EVENTS, type WithEventListener } from '../options'
import { bare } from '../own'
import type { ChatStream } from '../stream'
import { contentOf, finishReasonOf, metadataOf, responseOf, usageOf } from './answer'
import { StreamParts } from './parts'
import { type PreparedCall, prepareCall } from './request'

export class HolySheepLanguageModel implements LanguageModelV4 {
  readonly specificationVersion = 'v4'
  /** URLs that go to the provider unchanged. The AI SDK downloads all others. */
  readonly supportedUrls = { 'image/*': [/^https?:\/\//] }
  readonly #client: HolySheepStreamingClient
  readonly #structuredOutputs: boolean

  constructor(
    readonly modelId: string,
    readonly provider: string,
    client: HolySheepStreamingClient,
    structuredOutputs: boolean,
  ) {
    this.#client = client
    this.#structuredOutputs = structuredOutputs
  }

  async doGenerate(callOptions: LanguageModelV4CallOptions): Promise<LanguageModelV4GenerateResult> {
    const { request, options, warnings } = prepareCall(this.modelId, callOptions, this.#structuredOutputs)
    const headers = responseHeaders(options)
    const completion = await this.#client.chat(request, options)
    const { message, finish_reason } = completion.choices[0] as (typeof completion.choices)[number]
    return {
      content: contentOf(message),
      finishReason: finishReasonOf(finish_reason, Boolean(message.refusal)),
      usage: usageOf(completion.usage),
      providerMetadata: metadataOf({
        endpoint: completion._endpoint,
        model: completion._model,
        requestId: completion._request_id ?? undefined,
        sessionId: completion._session_id,
        attempts: completion._attempts,
        costUsd: completion._cost_usd,
      }),
      request: { body: request },
      response: { ...responseOf(completion), headers: headers(), body: completion },
      warnings,
    }
  }

  async doStream(callOptions: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    const prepared = prepareCall(this.modelId, callOptions, this.#structuredOutputs)
    const headers = responseHeaders(prepared.options)
    const stream = this.#client.stream(prepared.request, prepared.options)
    const chunks = stream[Symbol.asyncIterator]()
    // A failure before the first chunk rejects the call. A later one is a part of the stream.
    const first = await chunks.next()
    return {
      stream: partsOf(stream, chunks, first, prepared, callOptions.includeRawChunks === true),
      request: { body: prepared.request },
      response: { headers: headers() },
    }
  }

  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `HolySheepLanguageModel { modelId: '${this.modelId}' }`
  }
}

/** Listens for the headers of the response. */
function responseHeaders(options: CallOptions): () => Record<string, string> {
  let headers: Record<string, string> = {}
  const listener: WithEventListener = {
    [EVENTS]: (event: ClientEvent) => {
      // An answer without a token has them with its end.
      if (event.type === 'first-token' || (event.type === 'complete' && event.headers)) headers = { ...event.headers }
    },
  }
  Object.assign(options, listener)
  return () => headers
}

function partsOf(
  stream: ChatStream,
  chunks: AsyncIterator<ChatCompletionChunk, undefined>,
  first: IteratorResult<ChatCompletionChunk, undefined>,
  { warnings }: PreparedCall,
  raw: boolean,
): ReadableStream<LanguageModelV4StreamPart> {
  let parts: StreamParts
  let unread: typeof first | undefined = first
  let enqueued = 0
  return new ReadableStream<LanguageModelV4StreamPart>(
    bare({
      start(controller) {
        parts = new StreamParts((part) => {
          enqueued++
          controller.enqueue(part)
        })
        controller.enqueue({ type: 'stream-start', warnings })
      },
      async pull(controller) {
        try {
          const before = enqueued
          // A chunk may have no parts, and a pull that enqueues nothing would not be repeated.
          for (let read = unread ?? (await chunks.next()); !read.done; read = await chunks.next()) {
            unread = undefined
            if (raw) controller.enqueue({ type: 'raw', rawValue: read.value })
            parts.chunk(read.value)
            if (enqueued > before) return
          }
          parts.end(true)
          const result = await stream.result
          const { finishReason } = parts
          const providerMetadata = metadataOf(result)
          controller.enqueue({ type: 'finish', finishReason, usage: usageOf(result.usage), providerMetadata })
        } catch (error) {
          // An abort rejects with the caller's reason.
          if (!(error instanceof HolySheepError)) return controller.error(error)
          parts.end(false)
          controller.enqueue({ type: 'error', error })
          const finishReason = { unified: 'error' as const, raw: error.code }
          controller.enqueue({ type: 'finish', finishReason, usage: usageOf(undefined) })
        }
        controller.close()
      },
      async cancel() {
        await chunks.return?.()
      },
    }),
  )
}
