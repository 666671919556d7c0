'use client'
import { useCallback, useEffect, useRef, useState } from 'react'
import { events } from './sse'
import type { Progress, Summary } from './types'

export interface Message {
  id: string
  role: 'user' | 'assistant'
  text: string
  /** Of an answer. `stopped`: by the reader. `left`: the page was left while it came. */
  state?: 'waiting' | 'writing' | 'done' | 'stopped' | 'left' | 'failed'
  /** What it waits for; `until`: epoch milliseconds, of a pause. */
  progress?: { text: string; until?: number }
  summary?: Summary
  error?: string
}

const KEPT = 'holysheep-chat'

// `crypto.randomUUID` is there on secure origins only, and somebody may look at this from another machine.
let count = 0
const newId = () => `${Date.now()}-${++count}`

/** The conversation of this tab before the page was loaded. */
function kept(): Message[] {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? '[]') as Message[]
  } catch {
    return []
  }
}

/** A conversation that is kept while the tab is open, with plain `fetch`. */
export function useChat() {
  const [messages, setMessages] = useState<Message[]>([])
  const [ready, setReady] = useState(false)
  const running = useRef<AbortController | null>(null)

  useEffect(() => {
    // What was under way when the page was left has ended with it, here and at the provider.
    const isOpen = ({ state }: Message) => state === 'waiting' || state === 'writing'
    setMessages(kept().map((message) => (isOpen(message) ? { ...message, state: 'left' } : message)))
    setReady(true)
    return () => running.current?.abort()
  }, [])

  // Kept when an answer begins or ends, and when the page is left: not with every word.
  const state = messages.at(-1)?.state
  const latest = useRef(messages)
  useEffect(() => {
    latest.current = messages
  })
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is to run when the state changes
  useEffect(() => {
    if (!ready) return
    const keep = () => sessionStorage.setItem(KEPT, JSON.stringify(latest.current))
    keep()
    addEventListener('pagehide', keep)
    return () => removeEventListener('pagehide', keep)
  }, [ready, state, messages.length])

  const ask = useCallback(async (history: Message[]) => {
    const controller = new AbortController()
    running.current = controller
    const answer: Message = { id: newId(), role: 'assistant', text: '', state: 'waiting' }
    setMessages([...history, answer])
    const change = (how: (message: Message) => Partial<Message>) =>
      setMessages((all) => all.map((message) => (message.id === answer.id ? { ...message, ...how(message) } : message)))
    try {
      const response = await fetch('/api/chat', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ messages: history.map(({ role, text }) => ({ role, content: text })) }),
        signal: controller.signal,
      })
      if (!response.ok || !response.body) throw new Error('The server could not answer.')
      for await (const { event, data } of events(response.body)) {
        if (data === '[DONE]') {
          change(() => ({ state: 'done' }))
          if (running.current === controller) running.current = null
        } else if (event === 'error') throw new Error(JSON.parse(data).error.message)
        else if (event === 'progress') {
          const { text, waitMs } = JSON.parse(data) as Progress
          change(() => ({ progress: { text, until: waitMs === undefined ? undefined : Date.now() + waitMs } }))
        } else if (event === 'summary') change(() => ({ summary: JSON.parse(data) as Summary }))
        else {
          const text: string = JSON.parse(data).choices?.[0]?.delta?.content ?? ''
          if (text !== '') change((message) => ({ text: message.text + text, state: 'writing', progress: undefined }))
        }
      }
      change(({ state }) =>
        state === 'done' ? {} : { state: 'failed', error: 'The connection to the server was lost.' },
      )
    } catch (error) {
      if (controller.signal.aborted) change(({ state }) => (state === 'done' ? {} : { state: 'stopped' }))
      else change(() => ({ state: 'failed', error: error instanceof Error ? error.message : 'Something went wrong.' }))
    } finally {
      if (running.current === controller) running.current = null
    }
  }, [])

  const send = (text: string) => ask([...messages, { id: newId(), role: 'user', text }])
  /** Asks the last question again, in place of its answer. */
  const again = () => ask(messages.slice(0, messages.findLastIndex(({ role }) => role === 'user') + 1))
  const stop = () => running.current?.abort()
  const clear = () => {
    stop()
    setMessages([])
  }
  return { messages, ready, busy: state === 'waiting' || state === 'writing', send, again, stop, clear }
}
