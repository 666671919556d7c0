// Whom TLS trusts: the `ca` option, NODE_EXTRA_CA_CERTS, SSL_CERT_FILE and SSL_CERT_DIR.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { HolySheepStreamingClient } from '../index.mjs'
import { startSimulator } from '../simulator.mjs'
import { node } from './support/child.mjs'
import { ANSWER, clientOf, KEY, PIECES, provider, REQUEST } from './support/provider.mjs'

let simulator
let folder
let file
before(async () => {
  simulator = await startSimulator({ tls: true, default: { chunks: PIECES } })
  folder = mkdtempSync(join(tmpdir(), 'holysheep-'))
  file = join(folder, 'authority.pem')
  writeFileSync(file, simulator.certificate)
})
after(async () => {
  await simulator.close()
  rmSync(folder, { recursive: true })
})

/** One call in a process of its own, whose environment names certificates. */
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

test('the ca option takes a text, a buffer, and arrays of them', async (t) => {
  const other = await provider(t, { tls: true })
  const pem = simulator.certificate
  const bytes = new Uint8Array(Buffer.from(pem))
  for (const ca of [pem, Buffer.from(pem), bytes, [other.certificate, pem], [Buffer.from(pem)]]) {
    const client = clientOf(t, simulator, { ca })
    assert.equal((await client.chat(REQUEST)).choices[0].message.content, ANSWER)
  }
})

test('a ca option that holds no certificates is refused when the client is made', () => {
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

test('an authority that nobody has named is not trusted, and the error names the ways', async () => {
  const { stdout, stderr } = await call({})
  assert.match(stdout, /^ERR_TLS .*not trusted; add the authority's certificate to `ca` or NODE_EXTRA_CA_CERTS/)
  assert.equal(stderr, '')
})

test('NODE_EXTRA_CA_CERTS is trusted beside the others', async () => {
  const { stdout, stderr } = await call({ NODE_EXTRA_CA_CERTS: file })
  assert.deepEqual([stdout, stderr], [`${ANSWER}\n`, ''])
})

test('a file of NODE_EXTRA_CA_CERTS that cannot be used is warned of once, and the program goes on', async () => {
  const nonsense = join(folder, 'nonsense.pem')
  writeFileSync(nonsense, 'nonsense')
  for (const [bad, why] of [
    [join(folder, 'missing.pem'), /ENOENT/],
    [nonsense, /text without a certificate/],
  ]) {
    const { code, stdout, stderr } = await call({ NODE_EXTRA_CA_CERTS: bad }, { ca: simulator.certificate })
    assert.deepEqual([code, stdout], [0, `${ANSWER}\n`])
    // Node warns too where it makes a TLS connection itself: here it does not.
    assert.equal(stderr.match(/HolySheepWarning/g)?.length, 1, stderr)
    assert.match(stderr, /Ignoring extra certs from/)
    assert.match(stderr, why)
  }
})

test('NODE_EXTRA_CA_CERTS is read when the process starts: what a program sets later has no effect', async () => {
  const script = `
    import { HolySheepStreamingClient } from './index.mjs'
    process.env.NODE_EXTRA_CA_CERTS = ${JSON.stringify(file)}
    const client = new HolySheepStreamingClient('sk-test', { baseUrl: '${simulator.url}', maxRetries: 0 })
    await client.chat({ messages: [{ role: 'user', content: 'x' }] }).catch((error) => console.log(error.code))`
  const { stdout } = await node(['--input-type=module', '-e', script], { env: { NODE_EXTRA_CA_CERTS: '' } })
  assert.equal(stdout, 'ERR_TLS\n')
})

test('SSL_CERT_FILE and SSL_CERT_DIR stand in for the system’s authorities', async () => {
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

test('where SSL_CERT_FILE holds nothing nobody is trusted, and the error names it', async () => {
  const missing = join(folder, 'missing.pem')
  const { stdout } = await call({ SSL_CERT_FILE: missing })
  assert.match(stdout, /^ERR_TLS no certificate could be read from '.*missing\.pem' \(SSL_CERT_FILE, SSL_CERT_DIR\)/)
  assert.equal((await call({ SSL_CERT_FILE: missing }, { ca: simulator.certificate })).stdout, `${ANSWER}\n`)
})
