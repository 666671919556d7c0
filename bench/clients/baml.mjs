// BAML without its code generator: the runtime reads the function that the generator would wrap. Its
// stream hands over the whole text so far with every event; a chunk is what has been added.
import { createRequire } from 'node:module'
import { MODEL } from './request.mjs'

const { BamlRuntime } = createRequire(import.meta.url)('@boundaryml/baml/native')

const source = (url) => `
client<llm> Local {
  provider "openai-generic"
  options {
    base_url ${JSON.stringify(url)}
    api_key "bench"
    model ${JSON.stringify(MODEL)}
  }
}
function Ask(question: string) -> string {
  client Local
  prompt #"{{ _.role("user") }}{{ question }}"#
}
`

export function runtime({ url }) {
  const env = { BAML_LOG: 'off' }
  const baml = BamlRuntime.fromFiles('baml_src', { 'ask.baml': source(url) }, env)
  const input = { question: 'Count the sheep.' }
  return {
    async stream(onPiece) {
      const context = baml.createContextManager()
      let seen = 0
      const take = (result, partial) => {
        const text = result.parsed(partial)
        if (typeof text === 'string' && text.length > seen) {
          onPiece(text.slice(seen))
          seen = text.length
        }
      }
      const onEvent = (error, result) => {
        if (!error) take(result, true)
      }
      const stream = baml.streamFunction('Ask', input, onEvent, context, undefined, undefined, [], {}, env)
      take(await stream.done(context), false)
    },
    async whole() {
      const context = baml.createContextManager()
      const result = await baml.callFunction('Ask', input, context, undefined, undefined, [], {}, env)
      return result.parsed(false)
    },
  }
}
