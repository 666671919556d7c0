import { RetryConfig, retryWithBackoff } from 'holysheep'

const fail = () => Promise.reject(Object.assign(new Error('busy'), { status: 503 }))
for (const options of [{ backoff: 'exponential' }, { backoff: 'linear' }, { backoff: [10, 20, 50] }]) {
  for (const jitter of ['none', 'full', 'equal', 'proportional', 'decorrelated']) {
    const waits = []
    const onRetry = (_attempt, _error, ms) => waits.push(ms.toFixed(1))
    await retryWithBackoff(fail, { ...options, jitter, baseDelay: 10, maxDelay: 50, onRetry }).catch(() => {})
    console.log(String(options.backoff).padEnd(12), jitter.padEnd(13), waits.join(' '))
  }
}
console.log(
  'RetryConfig:',
  [0, 1, 2].map((attempt) => new RetryConfig({ jitter: false }).calculateDelay(attempt)),
)
