'use strict'
// The names come first, so that a bundler finds the one that it looks for and the error shown is the one below.
exports.APIError = undefined
exports.AuthenticationError = undefined
exports.BoundedRetryQueue = undefined
exports.ChatStream = undefined
exports.CircuitBreaker = undefined
exports.CircuitOpenError = undefined
exports.ConnectionError = undefined
exports.CostCapError = undefined
exports.HolySheepAIClient = undefined
exports.HolySheepError = undefined
exports.HolySheepInstrumentation = undefined
exports.HolySheepRetryManager = undefined
exports.HolySheepStreamingClient = undefined
exports.MalformedResponseError = undefined
exports.ModelDegradationManager = undefined
exports.MultiProviderRouter = undefined
exports.QueueFullError = undefined
exports.RateLimitError = undefined
exports.RateLimitedClient = undefined
exports.ResilientStreamingClient = undefined
exports.RetriesExhaustedError = undefined
exports.RetryAIManager = undefined
exports.RetryConfig = undefined
exports.RetryableError = undefined
exports.Simulator = undefined
exports.StreamInterruptedError = undefined
exports.TestClock = undefined
exports.TimeoutAIManager = undefined
exports.TimeoutError = undefined
exports.batchProcess = undefined
exports.batchStream = undefined
exports.catalogue = undefined
exports.classifyComplexity = undefined
exports.createClientWithTimeout = undefined
exports.createFetch = undefined
exports.createHolySheep = undefined
exports.handleConnectionReset = undefined
exports.instrument = undefined
exports.retryWithBackoff = undefined
exports.startSimulator = undefined
exports.streamWithTimeout = undefined
exports.testClock = undefined
exports.validateApiKey = undefined
exports.version = undefined
throw new Error(
  'holysheep is a native addon and runs in Node.js 20 or later. It cannot be loaded in a browser bundle or an ' +
    'edge runtime: call it from server code (in Next.js: a route with `runtime = "nodejs"`, and ' +
    '`serverExternalPackages: ["holysheep"]`), and in Jest with the test environment `node`.',
)
