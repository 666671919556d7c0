// The fixed tables and strings of the HolySheep tutorials. Plain data; `golden.test.mjs` reads it.

/** USD per million input and output tokens (tutorials 000, 003, 004), and the token limits that 004 states. */
export const MODELS = {
  'gpt-4.1': [8, 8, 128_000, 16_384],
  'claude-sonnet-4.5': [15, 15],
  'gemini-2.5-flash': [2.5, 2.5],
  'deepseek-v3.2': [0.42, 0.42],
  'gpt-4-turbo': [128_000],
}

/** `ModelDegradationManager.DEFAULT_MODEL_CHAIN`: name, price, latency, capability, priority. */
export const CHAIN = [
  { name: 'gpt-4.1', price: 8, avgLatencyMs: 800, capability: 'complex', priority: 1 },
  { name: 'claude-sonnet-4.5', price: 15, avgLatencyMs: 1200, capability: 'complex', priority: 2 },
  { name: 'gemini-2.5-flash', price: 2.5, avgLatencyMs: 400, capability: 'moderate', priority: 3 },
  { name: 'deepseek-v3.2', price: 0.42, avgLatencyMs: 200, capability: 'simple', priority: 4 },
]

/** The models that answer a question of each complexity, in order. */
export const CANDIDATES = {
  complex: ['gpt-4.1', 'claude-sonnet-4.5', 'gemini-2.5-flash', 'deepseek-v3.2'],
  moderate: ['gpt-4.1', 'claude-sonnet-4.5', 'gemini-2.5-flash'],
  simple: ['deepseek-v3.2', 'gemini-2.5-flash', 'gpt-4.1', 'claude-sonnet-4.5'],
}
export const QUESTIONS = {
  complex: 'Phân tích và so sánh hai quý',
  moderate: 'Giải thích chính sách đổi trả',
  simple: 'Cửa hàng mở cửa mấy giờ?',
}

/** One of them makes a question moderate, two make it complex. Compared in NFC and case-insensitively. */
export const KEYWORDS = [
  'phân tích',
  'tổng hợp',
  'so sánh',
  'đánh giá',
  'analyze',
  'synthesize',
  'compare',
  'evaluate',
  'tại sao',
  'vì sao',
  'giải thích',
  'báo cáo',
]
/** A longer question has at least this complexity. */
export const LENGTHS = { moderate: 150, complex: 500 }

/** `RetryAIManager.RETRY_STATUS_MAP`: tutorial 003 calls them IMMEDIATE, DELAYED and NEVER. */
export const DECISIONS = {
  408: 'immediate',
  429: 'delayed',
  500: 'immediate',
  502: 'immediate',
  503: 'delayed',
  504: 'immediate',
  400: 'never',
  401: 'never',
  403: 'never',
  404: 'never',
  422: 'never',
}
/** FALLBACK_MODEL, the fourth decision. */
export const FALLBACK_MODEL = 'fallback'

/** `isRetryable` of tutorials 000, 001 and 002, `shouldRetry` of 002: by `code` or `status`, a number or a string. */
export const RETRYABLE = {
  codes: ['ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'ECONNREFUSED'],
  statuses: [408, 429, 500, 502, 503, 504],
  /** Statuses of relays. */
  relays: [520, 521, 522, 523, 524, 529],
  never: [400, 401, 403, 404, 422],
  /** Digits in a message have no meaning. */
  messages: ['500 of 429 were refused', 'ECONNRESET'],
}

/** `error.code` by status, and the codes that `isRecoverable` rejects. */
export const UNRECOVERABLE = ['INVALID_REQUEST', 'AUTH_FAILED', 'CONTENT_FILTERED']
export const CODES = [
  { status: 400, code: 'INVALID_REQUEST' },
  { status: 404, code: 'INVALID_REQUEST' },
  { status: 422, code: 'INVALID_REQUEST' },
  { status: 401, code: 'AUTH_FAILED' },
  { status: 403, code: 'AUTH_FAILED' },
  { status: 400, code: 'CONTENT_FILTERED', error: { code: 'content_filter' } },
]

/** `callWithTimeout`: the tier of each kind of question, and the timeout of each tier. */
export const TIERS = {
  faq: 'FAST',
  simple: 'FAST',
  normal: 'NORMAL',
  complex: 'DEEP',
  analysis: 'DEEP',
  'anything else': 'NORMAL',
}
export const TIER_MS = { FAST: 1000, NORMAL: 3000, DEEP: 8000 }
/** How the timeout of a tier is written in `error`. */
export const TIER_TEXT = { FAST: '1.0s', NORMAL: '3.0s', DEEP: '8.0s' }

/** `createClientWithTimeout`: the limits on silence and on connecting, in milliseconds. */
export const TASKS = { short: [10_000, 5000], medium: [30_000, 10_000], long: [60_000, 15_000] }

/** The hosts that a key is sent to by default. */
export const PRIMARY_HOST = 'api.holysheep.ai:443'
export const BACKUP_HOSTS = ['backup1.holysheep.ai:443', 'backup2.holysheep.ai:443']

/** `validateApiKey`. */
export const VALID_KEYS = ['sk-holysheep-0123456789', '  sk-holysheep-0123456789\n', `sk-${'x'.repeat(17)}`]
export const INVALID_KEYS = ['pk-SECRETSECRETSECRETSECRET', 'sk-SECRET', `sk-${'x'.repeat(16)}`, '']

export const SESSION_ID = /^session_\d{13}_[0-9a-z]{9}$/

/** The first wait of each kind of backoff, with a base of 1000 ms and no jitter (tutorials 000 and 001). */
export const BACKOFFS = [
  { backoff: 'exponential', first: 1000 },
  { backoff: 'linear', first: 1000 },
  { backoff: 'constant', first: 1000 },
  { backoff: [1, 2, 4], first: 1 },
]
/** The range of a wait of 1000 ms with each jitter, if waits are at most 2000 ms. */
export const JITTERS = [
  { jitter: true, from: 0, to: 1000 },
  { jitter: false, from: 1000, to: 1000 },
  { jitter: 'none', from: 1000, to: 1000 },
  { jitter: 'full', from: 0, to: 1000 },
  { jitter: 'equal', from: 500, to: 1000 },
  { jitter: 'proportional', from: 500, to: 1500 },
  { jitter: 'decorrelated', from: 0, to: 2000 },
]
