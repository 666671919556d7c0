// The bytes of a body decide on its format, whatever its headers say.
import { describe, test } from 'node:test'
import { assertFailure, assertText } from './support/wire.mjs'

const CHUNKS = ['Xin ch', 'ào']
const TYPES = ['application/json', 'text/plain', 'application/octet-stream', 'text/html', 'application/x-ndjson']

describe('a stream under another content type is a stream (relays, serverless platforms)', () => {
  for (const type of TYPES) {
    test(type, (t) => assertText(t, [{ chunks: CHUNKS, headers: { 'content-type': type } }], 'Xin chào'))
  }
})

describe('lines of JSON are an answer (NDJSON)', () => {
  for (const type of ['application/x-ndjson', 'text/event-stream', 'application/json']) {
    const scenario = { chunks: CHUNKS, format: 'ndjson', headers: { 'content-type': type } }
    test(type, (t) => assertText(t, [scenario], 'Xin chào'))
    test(`${type}, one byte at a time`, (t) => assertText(t, [{ ...scenario, packets: 'bytes' }], 'Xin chào'))
  }
})

describe('a document is an answer where a stream was requested (gateways with a cache)', () => {
  for (const type of ['application/json', 'text/event-stream', 'text/plain']) {
    const scenario = { chunks: CHUNKS, format: 'document', headers: { 'content-type': type } }
    test(type, (t) => assertText(t, [scenario], 'Xin chào'))
  }
})

describe('an encoded body is decoded (relays that compress without being requested)', () => {
  for (const contentEncoding of ['gzip', 'deflate', 'br', 'zstd']) {
    test(contentEncoding, (t) => assertText(t, [{ chunks: CHUNKS, contentEncoding }], 'Xin chào'))
    test(`${contentEncoding}, one byte at a time`, (t) =>
      assertText(t, [{ chunks: CHUNKS, contentEncoding, packets: 'bytes' }], 'Xin chào'))
    test(`${contentEncoding}: an error`, (t) => {
      const body = { error: { message: 'no such key', code: 'invalid_api_key' } }
      return assertFailure(t, [{ status: 401, body, contentEncoding }], /no such key/)
    })
  }
})
