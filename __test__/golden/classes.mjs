// The classes of the HolySheep tutorials: members, defaults, arguments. Plain data; `golden.test.mjs` reads it.
//
// properties   those of a new object, constructed with `args` or `(KEY)`
// writable     properties that can be set: [an accepted value, a rejected value]
// constructs   other forms of the arguments, and the resulting properties
// options      each option of the constructor, with an accepted value; `optionsAt` is the position of the options
// refuses      arguments that are rejected
import { CircuitBreaker } from '../../index.mjs'

export const KEY = 'YOUR_HOLYSHEEP_API_KEY'
const PRIMARY = 'https://api.holysheep.ai/v1'
const BACKUP1 = 'https://backup1.holysheep.ai/v1'
const BACKUP2 = 'https://backup2.holysheep.ai/v1'
/** The default address of a client: tutorial 002 has the host, 003 and 004 have the URL. */
const HOLYSHEEP = /^(api\.holysheep\.ai|https:\/\/api\.holysheep\.ai\/v1)$/

/** Keys that a client accepts, and keys that it rejects. */
const KEYS = [
  { args: [` ${KEY}\n`], properties: { apiKey: KEY } },
  { args: ['ollama'], properties: { apiKey: 'ollama' } },
  { args: ['gsk_0123456789'], properties: { apiKey: 'gsk_0123456789' } },
]
const NO_KEYS = [[''], ['sk-a b'], ['sk-a\u0007b']]

export const CLASSES = {
  // Tutorial 002.
  HolySheepStreamingClient: {
    properties: { apiKey: KEY, maxRetries: 3, baseUrl: 'api.holysheep.ai', baseDelay: 1000 },
    hidden: ['apiKey'],
    writable: {
      apiKey: ['sk-another', ''],
      maxRetries: [5, -1],
      baseUrl: ['localhost.example', 'ftp://x'],
      baseDelay: [10, 'x'],
    },
    methods: ['streamWithRetry', 'executeStream', 'isRetryable', 'sleep', 'stream', 'chat', 'resume'],
    constructs: [
      ...KEYS,
      { args: [KEY, 7], properties: { maxRetries: 7 } },
      { args: [KEY, { maxRetries: 7, baseUrl: 'HOST' }], properties: { maxRetries: 7, baseUrl: 'HOST' } },
    ],
    options: {
      maxRetries: 3,
      baseUrl: 'api.holysheep.ai',
      endpoints: [PRIMARY, BACKUP1],
      fallbackModels: ['gemini-2.5-flash', 'deepseek-v3.2'],
      circuitBreaker: new CircuitBreaker(),
      validateModel: true,
      retry: { jitter: 'proportional', connectionReset: true },
    },
    refuses: [...NO_KEYS, [KEY, -1], [KEY, { baseUrl: 'ftp://x' }]],
  },
  ResilientStreamingClient: {
    properties: { apiKey: KEY, baseUrl: HOLYSHEEP, lastReceivedId: null, accumulatedContent: '' },
    hidden: ['apiKey'],
    methods: [
      'smartStreamWithRecovery',
      'streamSession',
      'buildRecoveryContext',
      'generateSessionId',
      'isRecoverable',
      'sleep',
    ],
    constructs: KEYS,
    options: { baseUrl: 'HOST' },
    refuses: NO_KEYS,
  },
  // Tutorials 002 (manual interface), 004 (successThreshold, health score), 001 (error rate), 000 (isFailure).
  CircuitBreaker: {
    args: [],
    properties: { failureThreshold: 5, timeout: 60_000, failures: 0, lastFailureTime: null, state: 'CLOSED' },
    writable: {
      failureThreshold: [7, 0],
      timeout: [9, -1],
      failures: [1, 1.5],
      lastFailureTime: [1, Number.NaN],
      state: ['OPEN', 'AJAR'],
    },
    methods: ['canExecute', 'recordSuccess', 'recordFailure', 'getHealthScore', 'execute', 'open', 'close', 'reset'],
    constructs: [
      { args: [2, 1000], properties: { failureThreshold: 2, timeout: 1000 } },
      { args: [{ failureThreshold: 2, timeout: 1000 }], properties: { failureThreshold: 2, timeout: 1000 } },
      { args: [], properties: { halfOpenMaxCalls: 1, successThreshold: 1 } },
    ],
    optionsAt: 0,
    options: {
      failureThreshold: 5,
      timeout: 60_000,
      halfOpenMaxCalls: 1,
      successThreshold: 3,
      errorRate: 0.5,
      windowMs: 30_000,
      minimumCalls: 10,
      isFailure: () => true,
      onStateChange: () => {},
    },
    refuses: [[0], [5, -1], [{ errorRate: 2 }], [{ isFailure: 5 }]],
  },
  RateLimitedClient: {
    properties: { apiKey: KEY, capacity: 100, tokens: 100, refillRate: 10, lastRefill: Number },
    hidden: ['apiKey'],
    writable: { capacity: [50, 0], refillRate: [2, '1'], tokens: [7, -1], lastRefill: [1, Number.NaN] },
    methods: [
      'acquireToken',
      'refill',
      'handleRateLimit',
      'acquire',
      'streamWithRetry',
      'executeStream',
      'isRetryable',
      'sleep',
    ],
    constructs: [
      ...KEYS,
      { args: [KEY, { capacity: 3, refillRate: 2 }], properties: { capacity: 3, tokens: 3, refillRate: 2 } },
    ],
    options: { capacity: 3, refillRate: 2, maxRetries: 3, baseUrl: 'HOST' },
    refuses: [...NO_KEYS, [KEY, { capacity: 0 }]],
  },
  HolySheepRetryManager: {
    properties: {
      apiKey: KEY,
      circuitBreaker: { failureThreshold: 5, timeout: 30_000, state: 'CLOSED' },
      requestQueue: [],
      isProcessing: false,
    },
    writable: { circuitBreaker: [new CircuitBreaker(2, 1000), null] },
    methods: ['executeWithRetry', 'executeRequest', 'shouldRetry', 'sleep'],
    constructs: KEYS,
    options: { baseUrl: 'HOST', circuitBreaker: new CircuitBreaker(5, 30_000) },
    refuses: NO_KEYS,
  },
  // Tutorial 003.
  TimeoutAIManager: {
    properties: { apiKey: KEY, baseUrl: HOLYSHEEP },
    methods: ['callWithTimeout', 'getTimeoutStats'],
    constructs: KEYS,
    options: { fallbackModels: ['deepseek-v3.2'], baseUrl: 'HOST' },
    refuses: NO_KEYS,
  },
  RetryConfig: {
    args: [],
    properties: { maxRetries: 3, baseDelay: 1000, maxDelay: 30_000, exponentialBase: 2, jitter: true },
    methods: ['calculateDelay'],
    constructs: [
      {
        args: [{ maxRetries: 1, baseDelay: 2, maxDelay: 3, exponentialBase: 4, jitter: false }],
        properties: { maxRetries: 1, baseDelay: 2, maxDelay: 3, exponentialBase: 4, jitter: false },
      },
    ],
    optionsAt: 0,
    options: { maxRetries: 3, baseDelay: 1000, maxDelay: 15_000, exponentialBase: 2, jitter: true },
    refuses: [[{ maxRetries: -1 }], [{ jitter: 'x' }]],
  },
  RetryableError: {
    args: [429, 'why', 'delayed'],
    properties: { statusCode: 429, message: /^\[429\] why$/, decision: 'delayed', name: 'RetryableError' },
    methods: [],
  },
  RetryAIManager: {
    properties: {
      apiKey: KEY,
      baseUrl: HOLYSHEEP,
      config: { maxRetries: 3, baseDelay: 1000, maxDelay: 30_000, exponentialBase: 2, jitter: true },
    },
    methods: ['callWithRetry', 'getRetryStats', 'classifyError'],
    constructs: [...KEYS, { args: [KEY, { maxRetries: 1 }], properties: { config: { maxRetries: 1 } } }],
    optionsAt: 2,
    options: { baseUrl: 'HOST', fallbackModels: ['deepseek-v3.2'] },
    refuses: [...NO_KEYS, [KEY, { maxRetries: -1 }]],
  },
  ModelDegradationManager: {
    properties: { apiKey: KEY, baseUrl: HOLYSHEEP, modelChain: Object },
    methods: ['callWithDegradation', 'getDegradationStats'],
    constructs: KEYS,
    optionsAt: 2,
    options: { baseUrl: 'HOST' },
    refuses: [...NO_KEYS, [KEY, []]],
  },
  // Tutorial 004.
  HolySheepAIClient: {
    properties: { apiKey: KEY, baseUrl: PRIMARY },
    methods: ['chatCompletion', 'getMetrics'],
    constructs: KEYS,
    options: {
      maxRetries: 3,
      retryDelay: 500,
      exponentialBackoff: 2,
      timeout: 30_000,
      endpoints: [PRIMARY, BACKUP1, BACKUP2],
      healthCheck: 60_000,
    },
    refuses: [...NO_KEYS, [KEY, { maxRetries: 0 }], [KEY, { retryDelay: -1 }], [KEY, { timeout: 'x' }]],
  },
  MultiProviderRouter: {
    args: [],
    properties: {
      endpoints: { primary: PRIMARY, backup1: BACKUP1, backup2: BACKUP2 },
      breakers: {
        primary: { failureThreshold: 3, timeout: 30_000, halfOpenMaxCalls: 1, successThreshold: 3 },
        backup1: { failureThreshold: 5, timeout: 60_000, halfOpenMaxCalls: 1, successThreshold: 3 },
        backup2: { failureThreshold: 5, timeout: 60_000, halfOpenMaxCalls: 1, successThreshold: 3 },
      },
    },
    methods: ['selectEndpoint', 'getEndpointName', 'recordLatency', 'recordSuccess', 'recordFailure'],
    optionsAt: 0,
    options: { endpoints: { primary: PRIMARY } },
  },
  // Tutorial 000.
  BoundedRetryQueue: {
    args: [],
    properties: { maxRetries: 3, maxSize: 1000 },
    methods: ['addTask', 'processWithRetry'],
    constructs: [
      { args: [5, 10], properties: { maxRetries: 5, maxSize: 10 } },
      { args: [{ maxRetries: 5, maxSize: 10 }], properties: { maxRetries: 5, maxSize: 10 } },
    ],
    optionsAt: 0,
    options: { maxRetries: 3, maxSize: 1000 },
    refuses: [[0], [3, 0]],
  },
}

/** Functions that the package exports, by entry. */
export const FUNCTIONS = {
  'index.mjs': [
    'retryWithBackoff',
    'batchProcess',
    'streamWithTimeout',
    'handleConnectionReset',
    'validateApiKey',
    'createClientWithTimeout',
  ],
  'fetch.mjs': ['createFetch'],
  'ai-sdk.mjs': ['createHolySheep'],
}
