/**
 * Thin wrappers around `HolySheepStreamingClient` with the interfaces of the HolySheep tutorials. They translate their
 * arguments into its requests and options, and its results into theirs. Client options given to a wrapper override its
 * own.
 */

export * from './batches.js'
export * from './connections.js'
export * from './interrupted.js'
export * from './levels.js'
export * from './providers.js'
export * from './retries.js'
