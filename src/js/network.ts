/** Proxies and certificates from the environment, by the variables that Node and curl use. */
import { existsSync, readFileSync } from 'node:fs'
import { delimiter } from 'node:path'
import { invalid } from './errors'
import { addon } from './native'
import { bare, environment } from './own'

/** The files of root certificates on systems without a certificate store. */
export const SYSTEM_ROOTS = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
  '/etc/ssl/ca-bundle.pem',
  '/usr/local/share/certs/ca-root-nss.crt',
]

/** Whether the operating system has a certificate store, which TLS then queries. */
export const HAS_STORE = ['darwin', 'win32'].includes(process.platform)

// Read once, as Node does: later changes have no effect. An empty variable counts as unset, but turns the system's
// certificates off.
const { NODE_EXTRA_CA_CERTS, SSL_CERT_FILE, SSL_CERT_DIR } = bare({ ...process.env })

let configured = false

/** Passes the sources of root certificates to Rust, once. An unreadable file causes a warning, as in Node. */
export function trustEnvironment(): void {
  if (configured) return
  configured = true
  const file = SSL_CERT_FILE || undefined
  const dirs = (SSL_CERT_DIR ?? '').split(delimiter).filter((dir) => dir !== '')
  // Slim images have no root certificates. Node works there because it bundles its own. A variable that is set to an
  // empty string disables the system's certificates.
  const isOverridden = SSL_CERT_FILE !== undefined || SSL_CERT_DIR !== undefined
  const hasNone = !HAS_STORE && (isOverridden || !SYSTEM_ROOTS.some((path) => existsSync(path)))
  const sources = bare({
    file,
    dirs,
    ...(hasNone && !file && dirs.length === 0 && { bundled: bundledRoots() }),
  })
  if (NODE_EXTRA_CA_CERTS) {
    try {
      addon.setRootCertSources(bare({ ...sources, extra: readFileSync(NODE_EXTRA_CA_CERTS, 'utf8') }))
      return
    } catch (error) {
      const reason = failureReason(error as Error)
      process.emitWarning(`Ignoring extra certs from \`${NODE_EXTRA_CA_CERTS}\`, load failed: ${reason}`, {
        type: 'HolySheepWarning',
      })
    }
  }
  addon.setRootCertSources(sources)
}

/** The certificates that Node bundles. Loading `node:tls` takes longer than loading this package, so it is lazy. */
function bundledRoots(): string {
  const { rootCertificates } = require('node:tls') as typeof import('node:tls')
  return rootCertificates.join('\n')
}

/** The message of an error. An error from Rust has it in a record. */
function failureReason({ message }: Error): string {
  return message.startsWith('{') ? (JSON.parse(message) as { message: string }).message : message
}

/** The proxies from the environment. Lower-case variables take precedence. */
export function proxyEnvironment(env: NodeJS.ProcessEnv = process.env) {
  const first = (...names: string[]) => {
    const name = names.find((name) => environment(name, env))
    return name && { name, url: environment(name, env) as string }
  }
  // In CGI, HTTP_PROXY may come from the client's `Proxy` header (httpoxy). The lower-case variable cannot.
  const upper = environment('REQUEST_METHOD', env) ? [] : ['HTTP_PROXY']
  const http = first('http_proxy', ...upper, 'all_proxy', 'ALL_PROXY')
  const https = first('https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY')
  if (!http && !https) return undefined
  return { http, https, no: environment('no_proxy', env) ?? environment('NO_PROXY', env) ?? '' }
}

/** The `ca` option as text. Node accepts buffers too, so they are decoded. Rust validates the rest. */
export function readCa(ca: unknown): unknown {
  if (Array.isArray(ca)) return ca.map(asText)
  return asText(ca)
}

function asText(ca: unknown): unknown {
  if (!ArrayBuffer.isView(ca)) return ca
  if (ca.byteLength === 0) throw invalid('ca', undefined, 'certificates in PEM', 'an empty buffer')
  return Buffer.from(ca.buffer, ca.byteOffset, ca.byteLength).toString('latin1')
}
