/**
 * A resilient client for OpenAI-compatible chat APIs.
 *
 * A test checks that every `@default` in these files is the default in force.
 */
export * from './types/call-options.js'
export * from './types/chat.js'
export * from './types/client.js'
export * from './types/client-options.js'
export * from './types/continuation.js'
export * from './types/cost.js'
export * from './types/errors.js'
export * from './types/events.js'
export * from './types/limits.js'
export * from './types/metrics.js'
export * from './types/models.js'
export * from './types/observability.js'
export * from './types/rate-limited-client.js'
export * from './types/retry-options.js'
export * from './types/segments.js'
export * from './types/snapshot.js'
export * from './types/stream.js'
export * from './types/systems/index.js'
export * from './types/web.js'

/** The version of this package. */
export const version: string
