/**
 * A language model of the AI SDK on the engine, without a wire between them: what the provider says comes as chunks, and
 * an error as the typed error that it is.
 */
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
import type { ChatStream } from '../stream'
import { contentOf, finishReasonOf, metadataOf, responseOf, usageOf } from './answer'
import { Parts } from './parts'
import { type Asked, askedOf } from './request'

export class HolySheepLanguageModel implements LanguageModelV4 {
  readonly specificationVersion = 'v4'
  /** These go to the provider as they are; the AI SDK downloads others. */
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

  async doGenerate(given: LanguageModelV4CallOptions): Promise<LanguageModelV4GenerateResult> {
    const { request, options, warnings } = askedOf(this.modelId, given, this.#structuredOutputs)
    const head = hearing(options)
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
      response: { ...responseOf(completion), headers: head(), body: completion },
      warnings,
    }
  }

  async doStream(given: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    const asked = askedOf(this.modelId, given, this.#structuredOutputs)
    const head = hearing(asked.options)
    const stream = this.#client.stream(asked.request, asked.options)
    const chunks = stream[Symbol.asyncIterator]()
    // Until the first chunk a failure is one of the call, and not of a stream.
    const first = await chunks.next()
    return {
      stream: partsOf(stream, chunks, first, asked, given.includeRawChunks === true),
      request: { body: asked.request },
      response: { headers: head() },
    }
  }

  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `HolySheepLanguageModel { modelId: '${this.modelId}' }`
  }
}

/** Keeps what the head of the response says. */
function hearing(options: CallOptions): () => Record<string, string> {
  let headers: Record<string, string> = {}
  const heard: WithEventListener = {
    [EVENTS]: (event: ClientEvent) => {
      if (event.type === 'first-token') headers = { ...event.headers }
    },
  }
  Object.assign(options, heard)
  return () => headers
}

function partsOf(
  stream: ChatStream,
  chunks: AsyncIterator<ChatCompletionChunk, undefined>,
  first: IteratorResult<ChatCompletionChunk, undefined>,
  { warnings }: Asked,
  raw: boolean,
): ReadableStream<LanguageModelV4StreamPart> {
  let parts: Parts
  let unread: typeof first | undefined = first
  let told = 0
  return new ReadableStream<LanguageModelV4StreamPart>({
    start(controller) {
      parts = new Parts((part) => {
        told++
        controller.enqueue(part)
      })
      controller.enqueue({ type: 'stream-start', warnings })
    },
    async pull(controller) {
      try {
        const before = told
        // A chunk can have nothing to tell, and a pull that brings nothing would be the last one.
        for (let read = unread ?? (await chunks.next()); !read.done; read = await chunks.next()) {
          unread = undefined
          if (raw) controller.enqueue({ type: 'raw', rawValue: read.value })
          parts.chunk(read.value)
          if (told > before) return
        }
        parts.end(true)
        const result = await stream.result
        const { finishReason } = parts
        const providerMetadata = metadataOf(result)
        controller.enqueue({ type: 'finish', finishReason, usage: usageOf(result.usage), providerMetadata })
      } catch (error) {
        // An abort is the caller's own.
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
  })
}
