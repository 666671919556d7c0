/** What the environment says of proxies and certificates, read where a Node user expects it to be read. */
import { existsSync, readFileSync } from 'node:fs'
import { delimiter } from 'node:path'
import { invalid } from './errors'
import { addon } from './native'

/** Where the systems that have no store of their own keep the certificates of their authorities. */
export const SYSTEM_ROOTS = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
  '/etc/ssl/ca-bundle.pem',
  '/usr/local/share/certs/ca-root-nss.crt',
]

/** These have a store that is asked each time. */
export const HAS_STORE = ['darwin', 'win32'].includes(process.platform)

// As Node does: what the program sets later has no effect. Empty counts as not set.
const { NODE_EXTRA_CA_CERTS, SSL_CERT_FILE, SSL_CERT_DIR } = process.env

let told = false

/** Tells Rust whom TLS trusts, once. A file that cannot be read is a warning, as Node makes one. */
export function trustEnvironment(): void {
  if (told) return
  told = true
  const file = SSL_CERT_FILE || undefined
  const dirs = (SSL_CERT_DIR ?? '').split(delimiter).filter((dir) => dir !== '')
  // Slim images have no authorities at all; Node works there because it brings its own. (A variable that is set to
  // nothing takes the system's away.)
  const isNamed = SSL_CERT_FILE !== undefined || SSL_CERT_DIR !== undefined
  const isBare = !HAS_STORE && (isNamed || !SYSTEM_ROOTS.some((path) => existsSync(path)))
  const authorities = {
    file,
    dirs,
    ...(isBare && !file && dirs.length === 0 && { bundled: bundledRoots() }),
  }
  if (NODE_EXTRA_CA_CERTS) {
    try {
      addon.trustAuthorities({ ...authorities, extra: readFileSync(NODE_EXTRA_CA_CERTS, 'utf8') })
      return
    } catch (error) {
      const why = extraFailure(error as Error)
      process.emitWarning(`Ignoring extra certs from \`${NODE_EXTRA_CA_CERTS}\`, load failed: ${why}`, {
        type: 'HolySheepWarning',
      })
    }
  }
  addon.trustAuthorities(authorities)
}

/** The authorities that Node brings. Loading `node:tls` takes longer than the rest of this package: only where it is needed. */
function bundledRoots(): string {
  const { rootCertificates } = require('node:tls') as typeof import('node:tls')
  return rootCertificates.join('\n')
}

/** Why the file could not be used: of an error that Rust has thrown, the message in its record. */
function extraFailure({ message }: Error): string {
  return message.startsWith('{') ? (JSON.parse(message) as { message: string }).message : message
}

/** The variables that name proxies, in the order in which they count. */
export function proxyEnvironment(env: NodeJS.ProcessEnv = process.env) {
  const first = (...names: string[]) => {
    const name = names.find((name) => env[name])
    return name && { name, url: env[name] as string }
  }
  // In CGI HTTP_PROXY is a header of whoever asks (httpoxy); the lower case cannot come from one.
  const upper = env.REQUEST_METHOD ? [] : ['HTTP_PROXY']
  const http = first('http_proxy', ...upper, 'all_proxy', 'ALL_PROXY')
  const https = first('https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY')
  if (!http && !https) return undefined
  return { http, https, no: env.no_proxy || env.NO_PROXY || '' }
}

/** The `ca` option as text: Node takes buffers too. What is none of them Rust refuses. */
export function readCa(ca: unknown): unknown {
  if (Array.isArray(ca)) return ca.map(asText)
  return asText(ca)
}

function asText(ca: unknown): unknown {
  if (!ArrayBuffer.isView(ca)) return ca
  if (ca.byteLength === 0) throw invalid('ca', undefined, 'certificates in PEM', 'an empty buffer')
  return Buffer.from(ca.buffer, ca.byteOffset, ca.byteLength).toString('latin1')
}
