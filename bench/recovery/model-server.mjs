// Serves a GGUF model with node-llama-cpp: `node model-server.mjs FILE TEMPLATE MODULE_FOLDER`. Prints its port.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { chatServer, listen } from './openai-server.mjs'

const [file, template, modules] = process.argv.slice(2)
const require = createRequire(join(modules, 'package.json'))
const { getLlama, LlamaCompletion } = await import(pathToFileURL(require.resolve('node-llama-cpp')))

const THREADS = Number(process.env.BENCH_THREADS ?? 1)
const CONTEXT_SIZE = 4096

/**
 * How messages become text. `open` is a turn of a role without its end; `stop` ends the model's own turn. `chatml` is the
 * format that SmolLM2 was trained on. A base model was trained on none, so `transcript` is plain text.
 */
const TEMPLATES = {
  chatml: {
    system: 'You are a helpful AI assistant named SmolLM, trained by Hugging Face',
    open: (role, text) => `<|im_start|>${role}\n${text}`,
    end: '<|im_end|>\n',
    stop: ['<|im_end|>', '<|im_start|>'],
  },
  transcript: {
    system: 'A careful assistant answers the questions of a user.',
    open: (role, text) => `### ${role === 'assistant' ? 'Answer' : role === 'user' ? 'Question' : 'Note'}\n${text}`,
    end: '\n\n',
    stop: ['\n### ', '\n\n###'],
  },
}
const { system, open, end, stop } = TEMPLATES[template]

const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: THREADS })
const model = await llama.loadModel({ modelPath: file })
const context = await model.createContext({ contextSize: CONTEXT_SIZE, threads: THREADS })
const completion = new LlamaCompletion({ contextSequence: context.getSequence() })

const textOf = ({ content }) =>
  typeof content === 'string' ? content : (content ?? []).map(({ text }) => text ?? '').join('')

function promptOf(messages, native) {
  const all = messages[0]?.role === 'system' ? messages : [{ role: 'system', content: system }, ...messages]
  const last = all.at(-1)
  const continues = native && last.role === 'assistant'
  const closed = (continues ? all.slice(0, -1) : all).map((message) => open(message.role, textOf(message)) + end)
  return { text: closed.join('') + open('assistant', continues ? textOf(last) : ''), continues }
}

/** The tool that the request forces, if any: a small model never chooses one by itself. */
const forcedTool = ({ tools, tool_choice: choice }) =>
  tools?.find(({ function: { name } }) => choice === 'required' || choice?.function?.name === name)?.function

let lane = Promise.resolve()

async function* generate({ body, native, signal }) {
  const turn = lane
  let done
  lane = new Promise((resolve) => (done = resolve))
  await turn
  try {
    return yield* complete(body, native, signal)
  } finally {
    done()
  }
}

async function* complete(body, native, signal) {
  const tool = forcedTool(body)
  const { text, continues } = promptOf(body.messages, native)
  // A grammar starts at its beginning, so it cannot hold for the rest of an answer.
  const grammar = continues
    ? undefined
    : tool
      ? await llama.createGrammarForJsonSchema(tool.parameters)
      : body.response_format?.type === 'json_object'
        ? await llama.getGrammarFor('json')
        : undefined
  const queue = []
  let wake
  const push = (item) => {
    queue.push(item)
    wake?.()
  }
  const finished = completion
    .generateCompletionWithMeta(model.tokenize(text, true), {
      maxTokens: body.max_tokens ?? body.max_completion_tokens ?? 256,
      temperature: body.temperature ?? 0,
      topK: 40,
      topP: 0.95,
      seed: body.seed ?? 1,
      grammar,
      customStopTriggers: stop,
      disableContextShift: true,
      signal,
      stopOnAbortSignal: true,
      onTextChunk: (chunk) => push({ chunk }),
    })
    .then(
      (result) => push({ result }),
      (error) => push({ error }),
    )
  const call = { index: 0, id: 'call_1', type: 'function' }
  if (tool) yield { role: 'assistant', tool_calls: [{ ...call, function: { name: tool.name, arguments: '' } }] }
  for (;;) {
    while (queue.length === 0) await new Promise((resolve) => (wake = resolve))
    const { chunk, result, error } = queue.shift()
    if (error) throw error
    if (result) {
      await finished
      const isLimit = result.metadata.stopReason === 'maxTokens'
      return isLimit ? 'length' : tool ? 'tool_calls' : 'stop'
    }
    yield tool ? { tool_calls: [{ index: 0, function: { arguments: chunk } }] } : { content: chunk }
  }
}

console.log(await listen(chatServer(generate)))
// The stand ends this process by closing its input.
process.stdin.resume().on('end', () => process.exit())
