// Provider-specific fields through `holysheep/ai-sdk` and back.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { generateText, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'
import { createHolySheep } from '../../ai-sdk.mjs'
import { KEY } from '../support/provider.mjs'

test('the extra fields of a tool call are sent back to the provider', async (t) => {
  const extra_content = { google: { thought_signature: 'abc' } }
  const conversations = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const part of request) body += part
    const { messages } = JSON.parse(body)
    conversations.push(messages)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const event = (delta, finish_reason = null) =>
      response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`)
    const isQuestion = messages.at(-1).role === 'user'
    const call = { index: 0, id: 'c', function: { name: 'weather', arguments: '{"city":"Huế"}' }, extra_content }
    event(isQuestion ? { tool_calls: [call] } : { content: 'Sunny.' })
    event({}, isQuestion ? 'tool_calls' : 'stop')
    response.end('data: [DONE]\n\n')
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const holysheep = createHolySheep({ apiKey: KEY, baseUrl: `http://127.0.0.1:${server.address().port}/v1` })
  t.after(() => holysheep.client.close())
  const weather = tool({
    description: 'The weather',
    inputSchema: z.object({ city: z.string() }),
    execute: ({ city }) => ({ city, degrees: 31 }),
  })
  const tools = { weather }
  const options = { model: holysheep('gemini-3-pro'), prompt: 'x', tools, stopWhen: stepCountIs(2) }
  assert.equal((await generateText(options)).text, 'Sunny.')
  assert.equal(await streamText(options).text, 'Sunny.')
  for (const messages of [conversations[1], conversations[3]])
    assert.deepEqual(messages[1].tool_calls[0].extra_content, extra_content)
})
