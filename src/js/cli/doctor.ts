/** `holysheep doctor`: what stands between this machine and an answer. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter } from 'node:path'
import type * as Client from '../client'
import type * as Network from '../network'
import type * as Key from '../systems/key'
import { clientOptions, explain, parse, REMEDIES } from './args'

export const HELP = `holysheep doctor [options]   looks at what a call needs: addon, Node.js, certificates, proxy, key, endpoint, clock

  -e, --endpoint URL   a base URL up to and including /v1, or a host; by default HOLYSHEEP_BASE_URL or HolySheep's own
      --json           one JSON object: {"ok", "checks": [{"name", "ok", "detail", "remedy"}]}

  The key is read from HOLYSHEEP_API_KEY and never shown. What is sent is GET /models, and a HEAD without
  the key for the clock.
  Exit code: 0 where all is well, 1 where something is not, 2 for a wrong option.
`

/** What was found. `ok` is null where it is worth a look and stops nothing. */
interface Check {
  name: string
  ok: boolean | null
  detail: string
  remedy?: string
}

/** An endpoint that is probed is given up after 5 s: why no connection came about is to be known before. */
const CONNECT_TIMEOUT_MS = 4000

/** How far clocks may differ before it matters for certificates and `retry-after` dates. */
const MAX_SKEW_MS = 60_000

const certificatesIn = (pem: string) => pem.split('-----BEGIN CERTIFICATE-----').length - 1

/** A file of certificates: how many, or why not. */
function fileOf(path: string): { count: number; why?: string } {
  try {
    const count = certificatesIn(readFileSync(path, 'utf8'))
    return count > 0 ? { count } : { count, why: 'no certificate in it' }
  } catch (error) {
    return { count: 0, why: (error as Error).message }
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
    const detail = `it cannot be loaded (${where}): ${(error as Error).message.split('\n')[0]}`
    return { name: 'addon', ok: false, detail, remedy: 'Install again on this machine, with optional dependencies.' }
  }
}

function node(): Check {
  const ok = Number(process.versions.node.split('.')[0]) >= 20
  const remedy = ok ? undefined : 'Node.js 20 or later is needed.'
  return { name: 'node', ok, detail: `Node.js ${process.versions.node}`, remedy }
}

function authorities({ HAS_STORE, SYSTEM_ROOTS }: typeof Network): Check[] {
  const { SSL_CERT_FILE, SSL_CERT_DIR, NODE_EXTRA_CA_CERTS } = process.env
  const checks: Check[] = []
  const name = 'certificates'
  if (SSL_CERT_FILE || SSL_CERT_DIR) {
    const file = SSL_CERT_FILE ? fileOf(SSL_CERT_FILE) : { count: 0 }
    const dirs = (SSL_CERT_DIR ?? '').split(delimiter).filter((dir) => dir !== '' && existsSync(dir))
    const inDirs = dirs.reduce((count, dir) => count + readdirSync(dir).length, 0)
    const places = [SSL_CERT_FILE && `SSL_CERT_FILE ${SSL_CERT_FILE}`, SSL_CERT_DIR && `SSL_CERT_DIR ${SSL_CERT_DIR}`]
    const counts = [SSL_CERT_FILE && (file.why ?? `${file.count} certificates`), SSL_CERT_DIR && `${inDirs} files`]
    const detail = `${places.filter(Boolean).join(', ')}: ${counts.filter(Boolean).join(', ')}`
    const ok = file.count + inDirs > 0
    checks.push({ name, ok, detail, remedy: ok ? undefined : 'Name a file of certificates, or unset the variable.' })
  } else if (HAS_STORE) {
    checks.push({ name, ok: true, detail: "the operating system's store" })
  } else {
    const path = SYSTEM_ROOTS.find((path) => existsSync(path))
    const detail = path
      ? `${path}: ${fileOf(path).count} certificates`
      : "the system has none; those that Node brings along are used (install ca-certificates for the system's)"
    checks.push({ name, ok: path ? true : null, detail })
  }
  if (NODE_EXTRA_CA_CERTS) {
    const { count, why } = fileOf(NODE_EXTRA_CA_CERTS)
    const detail = `NODE_EXTRA_CA_CERTS ${NODE_EXTRA_CA_CERTS}: ${why ?? `${count} certificates`}`
    checks.push({ name: 'extra certificates', ok: why ? null : true, detail, remedy: why && 'The file is ignored.' })
  }
  return checks
}

function proxy({ proxyEnvironment }: typeof Network): Check {
  const env = proxyEnvironment()
  if (!env) return { name: 'proxy', ok: true, detail: 'none in the environment' }
  const shown = [env.https, env.http].flatMap((each) =>
    each ? [`${each.name}=${each.url.replace(/^(\w+:\/\/)?.*@/, '$1…@')}`] : [],
  )
  const no = env.no ? `, NO_PROXY=${env.no}` : ''
  return { name: 'proxy', ok: true, detail: `${[...new Set(shown)].join(', ')}${no}` }
}

function key({ validateApiKey }: typeof Key, ofHolySheep: boolean): Check {
  const name = 'key'
  const given = process.env.HOLYSHEEP_API_KEY
  if (!given) {
    return { name, ok: false, detail: 'HOLYSHEEP_API_KEY is not set', remedy: 'Set it to the key of your provider.' }
  }
  const length = given.trim().length
  if (!ofHolySheep && !given.trim().startsWith('sk-')) {
    return {
      name,
      ok: true,
      detail: `HOLYSHEEP_API_KEY is set, ${length} characters; not in the form of HolySheep's (sk-…)`,
    }
  }
  try {
    validateApiKey(given)
    return { name, ok: true, detail: `HOLYSHEEP_API_KEY is set, ${length} characters` }
  } catch (error) {
    const detail = `HOLYSHEEP_API_KEY does not look like a key of HolySheep: ${(error as Error).message.split('\n')[0]}`
    return { name, ok: null, detail: detail.replaceAll(given, '…'), remedy: 'That is fine for another provider.' }
  }
}

/** What can be done about an endpoint, for whom the doctor is asked already. */
const PROBED = {
  ENOTFOUND: 'The name is not known: check how it is written, and the DNS of this machine.',
  ECONNRESET: 'The connection was cut: look at the proxy and at firewalls on the way.',
  EHOSTUNREACH: 'There is no way to the host: look at the network, the proxy and firewalls on the way.',
  ECONNFAILED: 'The connection failed: look at the network, the proxy and firewalls on the way.',
  TIMEOUT: 'Nothing answers in time: check --endpoint, and whether the server is overloaded.',
  SERVER_ERROR: "The fault is the provider's: try again later, or another --endpoint.",
  INVALID_REQUEST: 'Check --endpoint: the base URL, up to and including /v1.',
}

async function endpoint(client: Client.HolySheepStreamingClient, url: string): Promise<Check> {
  const [health] = await client.healthCheck()
  const name = 'endpoint'
  if (!health) return { name, ok: false, detail: `${url}: not known` }
  const { healthy, status, latencyMs, code, error } = health
  const how = `${url}: ${status === undefined ? 'not reached' : `HTTP ${status}`} after ${latencyMs} ms`
  if (healthy) {
    // Any web server says 200: an API says which models it has.
    const wrong = await client.models().then(
      () => undefined,
      (error) => (error.code === 'MALFORMED_RESPONSE' ? error : undefined),
    )
    if (!wrong) return { name, ok: true, detail: how }
    const { message, remedy } = explain(wrong, { ...REMEDIES, ...PROBED })
    return { name, ok: false, detail: `${how}: ${message}`, remedy }
  }
  const { message, remedy } = explain(Object.assign(new Error(error), { code }), { ...REMEDIES, ...PROBED })
  return { name, ok: false, detail: `${how}: ${code}: ${message}`, remedy }
}

/** The server's clock by its `Date` header, to the second. */
async function clock(url: string): Promise<Check> {
  const name = 'clock'
  try {
    const sent = Date.now()
    const response = await fetch(url, { method: 'HEAD', redirect: 'manual', signal: AbortSignal.timeout(5000) })
    const date = Date.parse(response.headers.get('date') ?? '')
    if (Number.isNaN(date)) return { name, ok: null, detail: 'the endpoint tells no time' }
    // The header is cut to whole seconds: half a second more is the best guess.
    const skew = Math.round((sent + Date.now()) / 2 - (date + 500))
    const ok = Math.abs(skew) <= MAX_SKEW_MS
    const seconds = Math.round(Math.abs(skew) / 1000)
    const detail =
      seconds <= 1 ? "agrees with the endpoint's" : `${seconds} s ${skew > 0 ? 'ahead of' : 'behind'} the endpoint's`
    return { name, ok, detail, remedy: ok ? undefined : 'Set the clock (NTP): certificates and waits depend on it.' }
  } catch {
    return { name, ok: null, detail: "not compared: the endpoint's time could not be asked for" }
  }
}

export async function doctor(args: string[]): Promise<void> {
  const { values } = parse(args, { endpoint: { type: 'string', short: 'e' }, json: { type: 'boolean' } })
  const checks = [addon(), node()]
  // Without the addon there is nothing that could ask.
  if (checks[0]?.ok) {
    const network = require('../network') as typeof Network
    const { HolySheepStreamingClient } = require('../client') as typeof Client
    const options = clientOptions(values.endpoint === undefined ? undefined : [values.endpoint])
    checks.push(...authorities(network), proxy(network), key(require('../systems/key'), !('endpoints' in options)))
    const client = new HolySheepStreamingClient({ apiKey: 'none', connectTimeoutMs: CONNECT_TIMEOUT_MS, ...options })
    try {
      const url = client.baseUrl.includes('://') ? client.baseUrl : `https://${client.baseUrl}/v1`
      checks.push(await endpoint(client, url), await clock(url))
    } finally {
      await client.close()
    }
  }
  const ok = checks.every((check) => check.ok !== false)
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ ok, checks })}\n`)
  } else {
    for (const { ok, name, detail, remedy } of checks) {
      const mark = ok ? 'ok  ' : ok === null ? '?   ' : 'FAIL'
      process.stdout.write(`${mark}  ${name.padEnd(18)}  ${detail}\n${remedy ? `${' '.repeat(26)}${remedy}\n` : ''}`)
    }
  }
  process.exitCode = ok ? 0 : 1
}
