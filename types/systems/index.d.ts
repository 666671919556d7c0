/**
 * The systems of the documents: faces on the engine of `HolySheepStreamingClient`. They turn their arguments into
 * requests and options for it, and shape what comes back. Where a face takes a client's options, they override its own.
 */

export * from './batches.js'
export * from './connections.js'
export * from './interrupted.js'
export * from './levels.js'
export * from './providers.js'
export * from './retries.js'
