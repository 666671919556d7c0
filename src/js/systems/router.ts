/** `MultiProviderRouter` of tutorial 004: the endpoint with the best health and latency. */
import { URL } from 'node:url'
import type { RouterEndpointName, RouterOptions } from '../../../index'
import { CircuitBreaker, nativeBreaker } from '../breaker'
import { invalid } from '../errors'
import { addon } from '../native'
import { checkKnownOptions, numberIn, optionsObject } from '../options'

const ENDPOINTS = {
  primary: 'https://api.holysheep.ai/v1',
  backup1: 'https://backup1.holysheep.ai/v1',
  backup2: 'https://backup2.holysheep.ai/v1',
}
const PRIMARY = { failureThreshold: 3, timeout: 30_000, successThreshold: 3 }
const BACKUP = { failureThreshold: 5, timeout: 60_000, successThreshold: 3 }

export class MultiProviderRouter {
  readonly endpoints: Readonly<Record<string, string>>
  readonly breakers: Readonly<Record<string, CircuitBreaker>>
  /** In the order of the endpoints. */
  readonly #names: string[]
  /** The rule of `routing: 'score'`, over the medians of the last 100 latencies. */
  readonly #scores: InstanceType<typeof addon.NativeScores>

  constructor(options?: RouterOptions) {
    const checked = optionsObject('options', options) as RouterOptions
    checkKnownOptions(checked, ['endpoints'])
    const { endpoints = ENDPOINTS } = checked
    const entries = Object.entries(optionsObject('endpoints', endpoints)) as Array<[string, string]>
    if (entries.length === 0) throw invalid('endpoints', endpoints, 'an object with at least one name and URL')
    for (const [name, url] of entries) {
      if (typeof url !== 'string' || !URL.canParse(url)) throw invalid(`endpoints.${name}`, url, 'a URL')
    }
    this.endpoints = Object.freeze(Object.fromEntries(entries))
    this.breakers = Object.freeze(
      Object.fromEntries(entries.map(([name], at) => [name, new CircuitBreaker(at === 0 ? PRIMARY : BACKUP)])),
    )
    this.#names = Object.keys(this.endpoints)
    this.#scores = new addon.NativeScores(this.#names.length)
  }

  selectEndpoint(): string {
    const scores = this.#scores.scores(this.#names.map((name) => health(this.#breaker(name))))
    const ranked = this.#names
      .map((name, at) => ({ name, score: scores[at] as number }))
      // The sort is stable, so the first of equals wins.
      .sort((a, b) => b.score - a.score)
    // Only the chosen endpoint takes a permit: for the others the breaker is only read.
    const admits = ({ name }: { name: string }) => nativeBreaker(this.#breaker(name)).retryAfterMs() == null
    const best = ranked.find((candidate) => admits(candidate) && this.#breaker(candidate.name).canExecute())
    return this.endpoints[best?.name ?? (this.#names[0] as string)] as string
  }

  getEndpointName(url: string): RouterEndpointName {
    const text = String(url)
    const within = (base: string) => text === base || text.startsWith(base.endsWith('/') ? base : `${base}/`)
    return Object.entries(this.endpoints).find(([, base]) => within(base))?.[0] ?? 'unknown'
  }

  /** Ignores an unknown name, such as `'unknown'`. So do the methods below. */
  recordLatency(name: RouterEndpointName, ms: number): void {
    numberIn('ms', ms, 0)
    const at = this.#names.indexOf(name)
    if (at >= 0) this.#scores.recordLatency(at, ms)
  }

  recordSuccess(name: RouterEndpointName): void {
    if (Object.hasOwn(this.breakers, name)) this.#breaker(name).recordSuccess()
  }

  recordFailure(name: RouterEndpointName): void {
    if (Object.hasOwn(this.breakers, name)) this.#breaker(name).recordFailure()
  }

  #breaker(name: string): CircuitBreaker {
    return this.breakers[name] as CircuitBreaker
  }
}

/** 0–100. Failures older than the breaker's timeout do not count, or an abandoned endpoint would never be tried again. */
function health(breaker: CircuitBreaker): number {
  const { lastFailureTime, timeout } = breaker
  return lastFailureTime !== null && addon.epochMs() - lastFailureTime >= timeout ? 100 : breaker.getHealthScore()
}
