// The `https` client of HolySheep tutorial 002, which splits its input by lines. It differs only where it did not work, or
// not here: its missing quotes, a decoder for characters that span two reads, an
// error for an unsuccessful status, `http` for a local server, and an agent that keeps connections alive.
import http from 'node:http'
import { body, HEADERS } from './request.mjs'

export function tutorial({ url }) {
  const { hostname, port, pathname } = new URL(url)
  const agent = new http.Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: 4096 })

  function request(stream, onResponse) {
    return new Promise((resolve, reject) => {
      const postData = body(stream)
      const options = {
        agent,
        hostname,
        port,
        path: `${pathname}/chat/completions`,
        method: 'POST',
        headers: { ...HEADERS, 'content-length': Buffer.byteLength(postData) },
      }
      const req = http.request(options, (res) => {
        if (res.statusCode !== 200) reject(new Error(`status ${res.statusCode}`))
        res.setEncoding('utf8')
        res.on('error', reject)
        onResponse(res, resolve)
      })
      req.on('error', reject)
      req.write(postData)
      req.end()
    })
  }

  return {
    stream: (onChunk) =>
      request(true, (res, resolve) => {
        let buffer = ''
        res.on('data', (chunk) => {
          buffer += chunk
          const lines = buffer.split('\n')
          buffer = lines.pop() || ''
          for (const line of lines) {
            if (line.startsWith('data: ')) {
              const data = line.slice(6)
              if (data === '[DONE]') return
              try {
                const parsed = JSON.parse(data)
                const content = parsed.choices?.[0]?.delta?.content
                if (content && onChunk) onChunk(content)
              } catch {}
            }
          }
        })
        res.on('end', resolve)
      }),
    chat: () =>
      request(false, (res, resolve) => {
        let text = ''
        res.on('data', (chunk) => {
          text += chunk
        })
        res.on('end', () => resolve(JSON.parse(text).choices[0].message.content))
      }),
  }
}
