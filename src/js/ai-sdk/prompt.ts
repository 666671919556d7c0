/** Converts the AI SDK's prompt to messages of a chat request. */
import { TextDecoder } from 'node:util'
import type { LanguageModelV4FilePart, LanguageModelV4Prompt, LanguageModelV4ToolResultPart } from '@ai-sdk/provider'
import type { ChatRequest } from '../../../index'
import { invalid } from '../errors'
import { stringify } from '../own'
import { isJson } from './tool-calls'

type Message = ChatRequest['messages'][number] & Record<string, unknown>
type Turn<Role> = Extract<LanguageModelV4Prompt[number], { role: Role }>

export function messagesOf(prompt: LanguageModelV4Prompt): Message[] {
  return prompt.flatMap((turn): Message[] => {
    switch (turn.role) {
      case 'system':
        return [{ role: 'system', content: turn.content }]
      case 'user':
        return [{ role: 'user', content: userContent(turn) }]
      case 'assistant':
        return [assistant(turn)]
      default:
        return turn.content.flatMap((part) => (part.type === 'tool-result' ? [toolResult(part)] : []))
    }
  })
}

function userContent({ content }: Turn<'user'>): unknown {
  const [first] = content
  if (content.length === 1 && first?.type === 'text') return first.text
  return content.map((part) => (part.type === 'text' ? { type: 'text', text: part.text } : file(part)))
}

function assistant({ content }: Turn<'assistant'>): Message {
  let text = ''
  let reasoning = ''
  const calls: unknown[] = []
  for (const part of content) {
    if (part.type === 'text') text += part.text
    else if (part.type === 'reasoning') reasoning += part.text
    else if (part.type === 'tool-call') {
      const json =
        typeof part.input === 'string' && isJson(part.input) ? part.input : (stringify(part.input ?? {}) as string)
      const extra_content = part.providerOptions?.holysheep?.extra_content
      calls.push({
        id: part.toolCallId,
        type: 'function',
        function: { name: part.toolName, arguments: json },
        ...(extra_content !== undefined && { extra_content }),
      })
    }
  }
  return {
    role: 'assistant',
    content: calls.length > 0 ? text || null : text,
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  }
}

function toolResult({ toolCallId, output }: LanguageModelV4ToolResultPart): Message {
  return { role: 'tool', tool_call_id: toolCallId, content: outputText(output) }
}

function outputText(output: LanguageModelV4ToolResultPart['output']): string {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return output.value
    case 'execution-denied':
      return output.reason ?? 'The execution of the tool was denied.'
    default:
      return stringify(output.value) as string
  }
}

function file(part: LanguageModelV4FilePart): unknown {
  const { data, filename } = part
  const [kind] = part.mediaType.split('/')
  if (data.type === 'reference') {
    const id = data.reference.holysheep
    if (id === undefined) throw unsupported(part, "a reference for 'holysheep'")
    return { type: 'file', file: { file_id: id } }
  }
  if (data.type === 'text') return { type: 'text', text: data.text }
  if (kind === 'text') {
    if (data.type === 'url') throw unsupported(part, 'the text, not a URL')
    const bytes = typeof data.data === 'string' ? Buffer.from(data.data, 'base64') : data.data
    return { type: 'text', text: new TextDecoder().decode(bytes) }
  }
  if (kind === 'image') {
    const url = data.type === 'url' ? (data.originalUrl ?? data.url.href) : dataUrl(part, base64(data.data))
    return { type: 'image_url', image_url: { url } }
  }
  if (data.type === 'url') throw unsupported(part, 'the data, not a URL')
  if (kind === 'audio') {
    const format = { 'audio/wav': 'wav', 'audio/mp3': 'mp3', 'audio/mpeg': 'mp3' }[part.mediaType]
    if (format === undefined) throw unsupported(part, 'audio/wav, audio/mp3 or audio/mpeg')
    return { type: 'input_audio', input_audio: { data: base64(data.data), format } }
  }
  if (part.mediaType !== 'application/pdf') throw unsupported(part, 'images, audio, text and application/pdf')
  const file_data = dataUrl(part, base64(data.data))
  return { type: 'file', file: { filename: filename ?? 'document.pdf', file_data } }
}

/** The start of an image's base64 by format, for images without a full media type. */
const IMAGE_SIGNATURES = { iVBORw0KGgo: 'png', '/9j/': 'jpeg', R0lGOD: 'gif', UklGR: 'webp' }

function dataUrl(part: LanguageModelV4FilePart, data: string): string {
  const [kind, subtype] = part.mediaType.split('/')
  if (subtype !== undefined && subtype !== '*') return `data:${part.mediaType};base64,${data}`
  const found = Object.entries(IMAGE_SIGNATURES).find(([start]) => data.startsWith(start))
  if (!found) throw unsupported(part, 'a full media type such as image/png')
  return `data:${kind}/${found[1]};base64,${data}`
}

function base64(data: Uint8Array | string): string {
  if (typeof data === 'string') return data
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')
}

function unsupported({ mediaType }: LanguageModelV4FilePart, accepted: string): TypeError {
  return invalid('prompt: a file part', mediaType, accepted)
}
