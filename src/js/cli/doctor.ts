/** `holysheep doctor`: checks everything that a call needs. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter } from 'node:path'
import type { ProbedContinuation } from '../../../index'
import type * as Client from '../client'
import type * as Network from '../network'
import type * as Key from '../systems/key'
import { clientOptions, explain, parse, REMEDIES, UsageError } from './args'
import { printableJson, printableLine } from './terminal'

export const HELP = `holysheep doctor [options]   checks the addon, Node.js, certificates, proxy, key, endpoint and clock

  -e, --endpoint URL   a base URL up to and including /v1, or a host; HOLYSHEEP_BASE_URL or HolySheep's API by default
      --continuation   also ask the model to continue the beginning of a sentence, in each form: up to nine requests of
                       16 tokens. Shows what to set as the client's option \`continuation\`
  -m, --model NAME     the model to ask; gpt-4.1 by default
      --json           print one JSON object: {"ok", "checks": [{"name", "ok", "detail", "remedy"}]}; with
                       --continuation also {"continuation": {"endpoint", "model", "continuation", "forms"}}

  The key is read from HOLYSHEEP_API_KEY and never shown. The command sends GET /models, and HEAD without the
  key to compare clocks. Only with --continuation it asks a model.
  Exit code: 0 if all checks pass, 1 if one fails, 2 for a usage error.
`

/** The result of a check. `ok` is null for a warning. */
interface Check {
  name: string
  ok: boolean | null
  detail: string
  remedy?: string
}

/** Less than the 5 s of a health check, so that its error says why there is no connection. */
const CONNECT_TIMEOUT_MS = 4000

/** The longest that a request of the probe may take. */
const PROBE_TIMEOUT_MS = 60_000

/** The clock skew that certificates and `Retry-After` dates tolerate. */
const MAX_SKEW_MS = 60_000

export async function doctor(args: string[]): Promise<void> {
  const { values } = parse(args, {
    endpoint: { type: 'string', short: 'e' },
    continuation: { type: 'boolean' },
    model: { type: 'string', short: 'm' },
    json: { type: 'boolean' },
  })
  if (values.model !== undefined && !values.continuation) throw new UsageError('--model needs --continuation')
  const checks: Check[] = [addon(), node()]
  let probed: ProbedContinuation | undefined
  // Without the addon no request can be sent.
  if (checks[0]?.ok) {
    const network = require('../network') as typeof Network
    const { HolySheepStreamingClient } = require('../client') as typeof Client
    const options = clientOptions(values.endpoint === undefined ? undefined : [values.endpoint])
    checks.push(...authorities(network), proxy(network), key(require('../systems/key'), !('endpoints' in options)))
    const client = new HolySheepStreamingClient({ apiKey: 'none', connectTimeoutMs: CONNECT_TIMEOUT_MS, ...options })
    try {
      const url = client.baseUrl.includes('://') ? client.baseUrl : `https://${client.baseUrl}/v1`
      checks.push(await endpoint(client, url), await clock(url))
      if (values.continuation) {
        ;[probed] = await client.probeContinuation({
          ...(values.model !== undefined && { models: [values.model] }),
          totalTimeoutMs: PROBE_TIMEOUT_MS,
        })
        if (probed) checks.push(continuation(probed))
      }
    } finally {
      await client.close()
    }
  }
  const ok = checks.every((check) => check.ok !== false)
  if (values.json) {
    process.stdout.write(`${printableJson({ ok, checks, ...(probed && { continuation: probed }) })}\n`)
  } else {
    for (const { ok, name, detail, remedy } of checks) {
      const mark = ok ? 'ok  ' : ok === null ? '?   ' : 'FAIL'
      process.stdout.write(
        `${mark}  ${name.padEnd(18)}  ${printableLine(detail)}\n${remedy ? `${' '.repeat(26)}${remedy}\n` : ''}`,
      )
    }
  }
  process.exitCode = ok ? 0 : 1
}

const certificatesIn = (pem: string) => pem.split('-----BEGIN CERTIFICATE-----').length - 1

/** Counts the certificates in a file. */
function readCertificates(path: string): { count: number; problem?: string } {
  try {
    const count = certificatesIn(readFileSync(path, 'utf8'))
    return count > 0 ? { count } : { count, problem: 'contains no certificate' }
  } catch (error) {
    return { count: 0, problem: (error as Error).message }
  }
}

function addon(): Check {
  const platform = `${process.platform} ${process.arch}`
  const { glibcVersionRuntime } = (process.report?.getReport() as any)?.header ?? {}
  const where = glibcVersionRuntime ? `${platform}, glibc ${glibcVersionRuntime}` : platform
  try {
    const { addon } = require('../native')
    return { name: 'addon', ok: true, detail: `holysheep ${addon.version()} (${where})` }
  } catch (error) {
    const detail = `cannot be loaded (${where}): ${(error as Error).message.split('\n')[0]}`
    return { name: 'addon', ok: false, detail, remedy: 'Reinstall on this machine, with optional dependencies.' }
  }
}

function node(): Check {
  const ok = Number(process.versions.node.split('.')[0]) >= 20
  const remedy = ok ? undefined : 'Node.js 20 or later is required.'
  return { name: 'node', ok, detail: `Node.js ${process.versions.node}`, remedy }
}

function authorities({ HAS_STORE, SYSTEM_ROOTS }: typeof Network): Check[] {
  const { SSL_CERT_FILE, SSL_CERT_DIR, NODE_EXTRA_CA_CERTS } = process.env
  const checks: Check[] = []
  const name = 'certificates'
  if (SSL_CERT_FILE || SSL_CERT_DIR) {
    const file = SSL_CERT_FILE ? readCertificates(SSL_CERT_FILE) : { count: 0 }
    const dirs = (SSL_CERT_DIR ?? '').split(delimiter).filter((dir) => dir !== '' && existsSync(dir))
    const inDirs = dirs.reduce((count, dir) => count + readdirSync(dir).length, 0)
    const sources = [SSL_CERT_FILE && `SSL_CERT_FILE ${SSL_CERT_FILE}`, SSL_CERT_DIR && `SSL_CERT_DIR ${SSL_CERT_DIR}`]
    const counts = [SSL_CERT_FILE && (file.problem ?? `${file.count} certificates`), SSL_CERT_DIR && `${inDirs} files`]
    const detail = `${sources.filter(Boolean).join(', ')}: ${counts.filter(Boolean).join(', ')}`
    const ok = file.count + inDirs > 0
    checks.push({
      name,
      ok,
      detail,
      remedy: ok ? undefined : 'Set it to a file with certificates, or unset the variable.',
    })
  } else if (HAS_STORE) {
    checks.push({ name, ok: true, detail: "the operating system's store" })
  } else {
    const path = SYSTEM_ROOTS.find((path) => existsSync(path))
    const detail = path
      ? `${path}: ${readCertificates(path).count} certificates`
      : "the system has none, so Node's bundled certificates are used (install ca-certificates for the system's)"
    checks.push({ name, ok: path ? true : null, detail })
  }
  if (NODE_EXTRA_CA_CERTS) {
    const { count, problem } = readCertificates(NODE_EXTRA_CA_CERTS)
    const detail = `NODE_EXTRA_CA_CERTS ${NODE_EXTRA_CA_CERTS}: ${problem ?? `${count} certificates`}`
    checks.push({
      name: 'extra certificates',
      ok: problem ? null : true,
      detail,
      remedy: problem && 'The file is ignored.',
    })
  }
  return checks
}

function proxy({ proxyEnvironment }: typeof Network): Check {
  const env = proxyEnvironment()
  if (!env) return { name: 'proxy', ok: true, detail: 'none in the environment' }
  const proxies = [env.https, env.http].flatMap((each) =>
    each ? [`${each.name}=${each.url.replace(/^(\w+:\/\/)?.*@/, '$1…@')}`] : [],
  )
  const no = env.no ? `, NO_PROXY=${env.no}` : ''
  return { name: 'proxy', ok: true, detail: `${[...new Set(proxies)].join(', ')}${no}` }
}

function key({ validateApiKey }: typeof Key, isHolySheep: boolean): Check {
  const name = 'key'
  const apiKey = process.env.HOLYSHEEP_API_KEY
  if (!apiKey) {
    return { name, ok: false, detail: 'HOLYSHEEP_API_KEY is not set', remedy: "Set it to your provider's key." }
  }
  const length = apiKey.trim().length
  if (!isHolySheep && !apiKey.trim().startsWith('sk-')) {
    return {
      name,
      ok: true,
      detail: `HOLYSHEEP_API_KEY is set, ${length} characters; not in HolySheep's format (sk-…)`,
    }
  }
  try {
    validateApiKey(apiKey)
    return { name, ok: true, detail: `HOLYSHEEP_API_KEY is set, ${length} characters` }
  } catch (error) {
    const detail = `HOLYSHEEP_API_KEY does not look like a HolySheep key: ${(error as Error).message.split('\n')[0]}`
    return { name, ok: null, detail: detail.replaceAll(apiKey, '…'), remedy: 'This is fine for another provider.' }
  }
}

/** Remedies that do not suggest the doctor. */
const ENDPOINT_REMEDIES = {
  ENOTFOUND: 'The host name cannot be resolved: check its spelling, and the DNS of this machine.',
  ECONNRESET: 'The connection was reset: check the proxy and firewalls.',
  EHOSTUNREACH: 'The host cannot be reached: check the network, the proxy and firewalls.',
  ECONNFAILED: 'The connection failed: check the network, the proxy and firewalls.',
  TIMEOUT: 'There was no response in time: check --endpoint, and whether the server is overloaded.',
  SERVER_ERROR: 'The provider failed: try again later, or use another --endpoint.',
  INVALID_REQUEST: 'Check --endpoint: the base URL, up to and including /v1.',
}

async function endpoint(client: Client.HolySheepStreamingClient, url: string): Promise<Check> {
  const [health] = await client.healthCheck()
  const name = 'endpoint'
  if (!health) return { name, ok: false, detail: `${url}: unknown` }
  const { healthy, status, latencyMs, code, error } = health
  const summary = `${url}: ${status === undefined ? 'not reached' : `HTTP ${status}`} after ${latencyMs} ms`
  if (healthy) {
    // Any web server may respond with 200. An API lists its models.
    const malformed = await client.models().then(
      () => undefined,
      (error) => (error.code === 'MALFORMED_RESPONSE' ? error : undefined),
    )
    if (!malformed) return { name, ok: true, detail: summary }
    const { message, remedy } = explain(malformed, { ...REMEDIES, ...ENDPOINT_REMEDIES })
    return { name, ok: false, detail: `${summary}: ${message}`, remedy }
  }
  const { message, remedy } = explain(Object.assign(new Error(error), { code }), { ...REMEDIES, ...ENDPOINT_REMEDIES })
  return { name, ok: false, detail: `${summary}: ${code}: ${message}`, remedy }
}

/** What a probe has found, and what to set. */
function continuation({ model, continuation, forms }: ProbedContinuation): Check {
  const name = 'continuation'
  const failed = forms.find(({ outcome }) => outcome === 'failed')
  if (failed || continuation === null) {
    const { message, remedy } = explain(Object.assign(new Error(failed?.error), { code: failed?.code }), {
      ...REMEDIES,
      ...ENDPOINT_REMEDIES,
      INVALID_REQUEST: 'Check --model and --endpoint (the base URL, up to and including /v1).',
    })
    return { name, ok: false, detail: `${model}: ${failed?.code}: ${message}`, remedy }
  }
  const asked = forms.map(({ form, outcome, text, status }) => {
    if (outcome === 'continued') return `${form}: continued`
    if (outcome === 'rejected') return `${form}: rejected with ${status}`
    return `${form}: a new turn${text ? `, “${text}”` : ' without text'}`
  })
  if (continuation === 'none') {
    const remedy = 'A broken answer is asked for, and what comes is verified: see docs/recovery.md.'
    return { name, ok: null, detail: `${model}: not continued by the provider (${asked.join('; ')})`, remedy }
  }
  const detail = `${model}: continued by the provider (${asked.join('; ')})`
  return { name, ok: true, detail, remedy: `Set continuation: '${continuation}' for this endpoint.` }
}

/** Compares the clock with the server's `Date` header. */
async function clock(url: string): Promise<Check> {
  const name = 'clock'
  try {
    const sent = Date.now()
    const response = await fetch(url, { method: 'HEAD', redirect: 'manual', signal: AbortSignal.timeout(5000) })
    const date = Date.parse(response.headers.get('date') ?? '')
    if (Number.isNaN(date)) return { name, ok: null, detail: 'the endpoint sends no Date header' }
    // The header is truncated to seconds, so the expected value is half a second later.
    const skew = Math.round((sent + Date.now()) / 2 - (date + 500))
    const ok = Math.abs(skew) <= MAX_SKEW_MS
    const seconds = Math.round(Math.abs(skew) / 1000)
    const detail =
      seconds <= 1 ? "agrees with the endpoint's" : `${seconds} s ${skew > 0 ? 'ahead of' : 'behind'} the endpoint's`
    return { name, ok, detail, remedy: ok ? undefined : 'Set the clock (NTP): certificates and waits depend on it.' }
  } catch {
    return { name, ok: null, detail: 'not compared: the request to the endpoint failed' }
  }
}
