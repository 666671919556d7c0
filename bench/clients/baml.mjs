// BAML without its code generator: the runtime reads the function that the generator would wrap. Every event of its
// stream has the complete text so far; a delta is the part that is new.
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
    async stream(onDelta) {
      const context = baml.createContextManager()
      let length = 0
      const take = (result, partial) => {
        const text = result.parsed(partial)
        if (typeof text === 'string' && text.length > length) {
          onDelta(text.slice(length))
          length = text.length
        }
      }
      const onEvent = (error, result) => {
        if (!error) take(result, true)
      }
      const stream = baml.streamFunction('Ask', input, onEvent, context, undefined, undefined, [], {}, env)
      take(await stream.done(context), false)
    },
    async chat() {
      const context = baml.createContextManager()
      const result = await baml.callFunction('Ask', input, context, undefined, undefined, [], {}, env)
      return result.parsed(false)
    },
  }
}
