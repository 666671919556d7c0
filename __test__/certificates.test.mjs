// Which certificates TLS trusts: the `ca` option, NODE_EXTRA_CA_CERTS, SSL_CERT_FILE and SSL_CERT_DIR.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { HolySheepStreamingClient } from '../index.mjs'
import { startSimulator } from '../simulator.mjs'
import { node } from './support/child.mjs'
import { ANSWER, CHUNKS, clientOf, KEY, provider, REQUEST } from './support/provider.mjs'

let simulator
let folder
let file
before(async () => {
  simulator = await startSimulator({ tls: true, default: { chunks: CHUNKS } })
  folder = mkdtempSync(join(tmpdir(), 'holysheep-'))
  file = join(folder, 'authority.pem')
  writeFileSync(file, simulator.certificate)
})
after(async () => {
  await simulator.close()
  rmSync(folder, { recursive: true })
})

/** Makes one call in a separate process whose environment names certificates. */
function call(env, options = {}) {
  const script = `
    import { HolySheepStreamingClient } from './index.mjs'
    const options = ${JSON.stringify({ baseUrl: simulator.url, maxRetries: 0, ...options })}
    const client = new HolySheepStreamingClient('sk-test', options)
    try {
      console.log((await client.chat({ messages: [{ role: 'user', content: 'x' }] })).choices[0].message.content)
    } catch (error) { console.log(error.code, error.message) }`
  const none = { NODE_EXTRA_CA_CERTS: '', SSL_CERT_FILE: '', SSL_CERT_DIR: '' }
  return node(['--input-type=module', '-e', script], { env: { ...none, ...env } })
}

test('the ca option accepts a string, a buffer, and arrays of them', async (t) => {
  const other = await provider(t, { tls: true })
  const pem = simulator.certificate
  const bytes = new Uint8Array(Buffer.from(pem))
  for (const ca of [pem, Buffer.from(pem), bytes, [other.certificate, pem], [Buffer.from(pem)]]) {
    const client = clientOf(t, simulator, { ca })
    assert.equal((await client.chat(REQUEST)).choices[0].message.content, ANSWER)
  }
})

test('a ca option without valid certificates is rejected when the client is created', () => {
  const pem = simulator.certificate
  const broken = `-----BEGIN CERTIFICATE-----\n${Buffer.from('nonsense').toString('base64')}\n-----END CERTIFICATE-----\n`
  for (const ca of [
    '',
    'nonsense',
    [],
    [pem, 1],
    1,
    {},
    Buffer.alloc(0),
    Buffer.from([0x30, 0x82]),
    broken,
    pem + broken,
    pem.replace('-----BEGIN CERTIFICATE-----', '-----BEGIN PRIVATE KEY-----'),
    pem.slice(0, -40),
  ]) {
    assert.throws(
      () => new HolySheepStreamingClient(KEY, { baseUrl: simulator.url, ca }),
      (error) => error instanceof TypeError && /^ca: got .*; accepted: .*PEM/.test(error.message),
      String(ca),
    )
  }
})

test('an unknown authority is not trusted, and the error names the ways to trust it', async () => {
  const { stdout, stderr } = await call({})
  assert.match(stdout, /^ERR_TLS .*not trusted; add the authority's certificate to `ca` or NODE_EXTRA_CA_CERTS/)
  assert.equal(stderr, '')
})

test('NODE_EXTRA_CA_CERTS is trusted in addition to the default authorities', async () => {
  const { stdout, stderr } = await call({ NODE_EXTRA_CA_CERTS: file })
  assert.deepEqual([stdout, stderr], [`${ANSWER}\n`, ''])
})

test('an unusable NODE_EXTRA_CA_CERTS file causes one warning, and the program continues', async () => {
  const nonsense = join(folder, 'nonsense.pem')
  writeFileSync(nonsense, 'nonsense')
  for (const [bad, why] of [
    [join(folder, 'missing.pem'), /ENOENT/],
    [nonsense, /text without a certificate/],
  ]) {
    const { code, stdout, stderr } = await call({ NODE_EXTRA_CA_CERTS: bad }, { ca: simulator.certificate })
    assert.deepEqual([code, stdout], [0, `${ANSWER}\n`])
    // Node also warns when it opens a TLS connection itself, which it does not do here.
    assert.equal(stderr.match(/HolySheepWarning/g)?.length, 1, stderr)
    assert.match(stderr, /Ignoring extra certs from/)
    assert.match(stderr, why)
  }
})

test('NODE_EXTRA_CA_CERTS is read when the process starts, and a later change has no effect', async () => {
  const script = `
    import { HolySheepStreamingClient } from './index.mjs'
    process.env.NODE_EXTRA_CA_CERTS = ${JSON.stringify(file)}
    const client = new HolySheepStreamingClient('sk-test', { baseUrl: '${simulator.url}', maxRetries: 0 })
    await client.chat({ messages: [{ role: 'user', content: 'x' }] }).catch((error) => console.log(error.code))`
  const { stdout } = await node(['--input-type=module', '-e', script], { env: { NODE_EXTRA_CA_CERTS: '' } })
  assert.equal(stdout, 'ERR_TLS\n')
})

test("SSL_CERT_FILE and SSL_CERT_DIR replace the system's authorities", async () => {
  for (const env of [{ SSL_CERT_FILE: file }, { SSL_CERT_DIR: `${folder}-missing:${folder}` }]) {
    assert.equal((await call(env)).stdout, `${ANSWER}\n`, JSON.stringify(env))
  }
  const other = await startSimulator({ tls: true })
  const others = join(folder, 'other.crt')
  writeFileSync(others, other.certificate)
  await other.close()
  assert.match((await call({ SSL_CERT_FILE: others })).stdout, /^ERR_TLS/)
  assert.equal((await call({ SSL_CERT_FILE: others, NODE_EXTRA_CA_CERTS: file })).stdout, `${ANSWER}\n`)
})

test('if SSL_CERT_FILE cannot be read, no authority is trusted, and the error names the file', async () => {
  const missing = join(folder, 'missing.pem')
  const { stdout } = await call({ SSL_CERT_FILE: missing })
  assert.match(stdout, /^ERR_TLS no certificate could be read from '.*missing\.pem' \(SSL_CERT_FILE, SSL_CERT_DIR\)/)
  assert.equal((await call({ SSL_CERT_FILE: missing }, { ca: simulator.certificate })).stdout, `${ANSWER}\n`)
})
