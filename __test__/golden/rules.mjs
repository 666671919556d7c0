// The rules of the HolySheep tutorials: which errors, which models, which keys, which hosts.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import * as H from '../../index.mjs'
import { KEY } from './classes.mjs'
import { outcome, same } from './match.mjs'
import { startProvider, startProxy } from './provider.mjs'
import * as tables from './tables.mjs'

const user = (content) => [{ role: 'user', content }]

describe('which errors', () => {
  const client = new H.HolySheepStreamingClient(KEY)
  const manager = new H.HolySheepRetryManager(KEY)
  const resilient = new H.ResilientStreamingClient(KEY)
  const judges = {
    'HolySheepStreamingClient.isRetryable': (error) => client.isRetryable(error),
    'HolySheepRetryManager.shouldRetry': (error) => manager.shouldRetry(error),
  }
  const { codes, statuses, relays, never, messages } = tables.RETRYABLE
  const forms = (status) => [{ code: status }, { code: `${status}` }, { status }, { status: `${status}` }]
  for (const [name, judge] of Object.entries(judges)) {
    for (const status of [...statuses, ...relays]) {
      test(`${name}: ${status}`, () => same(name, forms(status).map(judge), [true, true, true, true]))
    }
    for (const status of never) {
      test(`${name}: not ${status}`, () => same(name, forms(status).map(judge), [false, false, false, false]))
    }
    for (const code of codes) test(`${name}: ${code}`, () => same(name, judge({ code }), true))
    for (const message of messages) {
      test(`${name}: not a message “${message}”`, () => same(name, judge(new Error(message)), false))
    }
  }

  for (const { status, code, error } of tables.CODES) {
    test(`a ${status} ${error?.code ?? ''} has the code ${code}`, async (t) => {
      const { url } = await startProvider(t, { reply: { status, error } })
      Object.assign(client, { baseUrl: url })
      const { rejected } = await outcome(client.executeStream(user('x')))
      same('the error', rejected, { code, status })
      same('isRecoverable', resilient.isRecoverable(rejected), false)
    })
  }
  for (const code of tables.UNRECOVERABLE) {
    test(`isRecoverable: not ${code}`, () => same('isRecoverable', resilient.isRecoverable({ code }), false))
  }
  test('isRecoverable: anything else', () => {
    same(
      'isRecoverable',
      [{ code: 'ECONNRESET' }, { code: 'TIMEOUT' }, new Error('x')].map((e) => resilient.isRecoverable(e)),
      [true, true, true],
    )
  })

  const retries = new H.RetryAIManager(KEY)
  for (const [status, decision] of Object.entries(tables.DECISIONS)) {
    test(`RetryAIManager.RETRY_STATUS_MAP: ${status} is ${decision}`, () => {
      same('RETRY_STATUS_MAP', H.RetryAIManager.RETRY_STATUS_MAP[status], decision)
      const error = retries.classifyError(Number(status), 'why')
      same('classifyError', error, { statusCode: Number(status), decision, message: `[${status}] why` })
      assert.ok(error instanceof H.RetryableError)
    })
  }
  test('the fourth decision is FALLBACK_MODEL', () => {
    same('decision', new H.RetryableError(500, 'why', tables.FALLBACK_MODEL).decision, 'fallback')
  })
})

describe('models', () => {
  test('DEFAULT_MODEL_CHAIN', () => {
    const chain = H.ModelDegradationManager.DEFAULT_MODEL_CHAIN
    // The tutorial's name for the price is wrong, and ours may change, so only the figure is compared.
    const priced = chain.map((model, at) => ({
      ...model,
      price: Object.values(model).find((v) => v === tables.CHAIN[at]?.price),
    }))
    same('DEFAULT_MODEL_CHAIN', priced, tables.CHAIN)
    same('modelChain', new H.ModelDegradationManager(KEY).modelChain, [...chain])
  })

  for (const [model, figures] of Object.entries(tables.MODELS)) {
    test(`the catalogue knows prices and limits of ${model}`, () => {
      const left = Object.values(H.catalogue()[model] ?? {})
      for (const figure of figures) {
        const at = left.indexOf(figure)
        assert.notEqual(at, -1, `the catalogue does not have ${figure} for ${model}`)
        left.splice(at, 1)
      }
    })
  }

  for (const [complexity, candidates] of Object.entries(tables.CANDIDATES)) {
    test(`a ${complexity} question asks ${candidates.join(', ')}`, async (t) => {
      const { url, requests } = await startProvider(t, { reply: { status: 503 } })
      const manager = new H.ModelDegradationManager(KEY, null, { baseUrl: url })
      const result = await manager.callWithDegradation(user(tables.QUESTIONS[complexity]))
      same('candidatesTried', result.candidatesTried, candidates)
      same(
        'the requests',
        requests.map(({ body }) => body.model),
        candidates,
      )
    })
  }

  test('each keyword, and the length, make a question harder', async (t) => {
    const { url } = await startProvider(t)
    const manager = new H.ModelDegradationManager(KEY, null, { baseUrl: url })
    const complexity = async (...messages) => (await manager.callWithDegradation(messages.flat())).originalComplexity
    for (const word of tables.KEYWORDS) {
      same(word, await complexity(user(word)), 'moderate')
      same(`${word} in NFD and capitals`, await complexity(user(word.toUpperCase().normalize('NFD'))), 'moderate')
    }
    const { moderate, complex } = tables.LENGTHS
    same('short', await complexity(user('a'.repeat(moderate))), 'simple')
    same('longer', await complexity(user('a'.repeat(moderate + 1))), 'moderate')
    same('long', await complexity(user('a'.repeat(complex))), 'moderate')
    same('too long', await complexity(user('a'.repeat(complex + 1))), 'complex')
    same('two keywords', await complexity(user('compare, evaluate')), 'complex')
    same(
      'in a system prompt',
      await complexity([{ role: 'system', content: 'compare, evaluate' }], user('a')),
      'simple',
    )
  })
})

describe('validateApiKey', () => {
  for (const key of tables.VALID_KEYS) test(inspect(key), () => same('validateApiKey', H.validateApiKey(key), true))
  for (const key of tables.INVALID_KEYS) {
    test(`not ${inspect(key)}`, () => {
      assert.throws(
        () => H.validateApiKey(key),
        (error) => key === '' || !error.message.includes(key),
      )
    })
  }
})

describe('the hosts that a key goes to', () => {
  const messages = user('x')
  const request = { messages }
  const once = { maxRetries: 0 }
  const first = [tables.PRIMARY_HOST]
  for (const [name, ask, hosts] of [
    ['HolySheepStreamingClient', () => new H.HolySheepStreamingClient(KEY, 0).executeStream(messages), first],
    ['ResilientStreamingClient', () => new H.ResilientStreamingClient(KEY).streamSession('m', messages, 's'), first],
    ['RateLimitedClient', () => new H.RateLimitedClient(KEY).executeStream(messages), first],
    ['HolySheepRetryManager', () => new H.HolySheepRetryManager(KEY).executeRequest(request), first],
    ['TimeoutAIManager', () => new H.TimeoutAIManager(KEY).callWithTimeout(messages), first],
    ['RetryAIManager', () => new H.RetryAIManager(KEY, once).callWithRetry(messages), first],
    ['createClientWithTimeout', () => H.createClientWithTimeout('short', once).chat(request), first],
    ['batchProcess', () => H.batchProcess(['x'], { maxRetries: 1 }), first],
    [
      'HolySheepAIClient',
      () => new H.HolySheepAIClient(KEY, { retryDelay: 0 }).chatCompletion('m', messages),
      [...first, ...tables.BACKUP_HOSTS],
    ],
  ]) {
    test(`${name}: ${hosts.join(', ')}`, async (t) => {
      const proxy = await startProxy(t)
      process.env.HTTPS_PROXY = proxy.url
      try {
        await outcome(Promise.resolve(ask()))
      } finally {
        delete process.env.HTTPS_PROXY
      }
      same('hosts', proxy.hosts, hosts)
    })
  }
})
