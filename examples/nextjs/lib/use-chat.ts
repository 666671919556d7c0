'use client'
import { useCallback, useEffect, useRef, useState } from 'react'
import { events } from './sse'
import type { Progress, Summary } from './types'

export interface Message {
  id: string
  role: 'user' | 'assistant'
  text: string
  /** Of an answer. `stopped`: by the user. `interrupted`: the page was closed before it was complete. */
  state?: 'waiting' | 'writing' | 'done' | 'stopped' | 'interrupted' | 'failed'
  /** What it is waiting for; `until` is the end of a delay, in epoch milliseconds. */
  progress?: { text: string; until?: number }
  summary?: Summary
  error?: string
}

const STORAGE_KEY = 'holysheep-chat'

// `crypto.randomUUID` needs a secure origin, and this page can be opened from another machine over plain HTTP.
let count = 0
const newId = () => `${Date.now()}-${++count}`

/** The stored conversation of this tab. */
function stored(): Message[] {
  try {
    return JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? '[]') as Message[]
  } catch {
    return []
  }
}

/** A conversation that is stored until the tab is closed, with plain `fetch`. */
export function useChat() {
  const [messages, setMessages] = useState<Message[]>([])
  const [ready, setReady] = useState(false)
  const running = useRef<AbortController | null>(null)

  useEffect(() => {
    // An answer in progress was aborted, here and at the provider, when the page was closed.
    const isOpen = ({ state }: Message) => state === 'waiting' || state === 'writing'
    setMessages(stored().map((message) => (isOpen(message) ? { ...message, state: 'interrupted' } : message)))
    setReady(true)
    return () => running.current?.abort()
  }, [])

  // Stored when an answer starts or ends and when the page is closed, not with every word.
  const state = messages.at(-1)?.state
  const latest = useRef(messages)
  useEffect(() => {
    latest.current = messages
  })
  // biome-ignore lint/correctness/useExhaustiveDependencies: it runs when the state changes
  useEffect(() => {
    if (!ready) return
    const store = () => sessionStorage.setItem(STORAGE_KEY, JSON.stringify(latest.current))
    store()
    addEventListener('pagehide', store)
    return () => removeEventListener('pagehide', store)
  }, [ready, state, messages.length])

  const ask = useCallback(async (history: Message[]) => {
    const controller = new AbortController()
    running.current = controller
    const answer: Message = { id: newId(), role: 'assistant', text: '', state: 'waiting' }
    setMessages([...history, answer])
    const change = (update: (message: Message) => Partial<Message>) =>
      setMessages((all) =>
        all.map((message) => (message.id === answer.id ? { ...message, ...update(message) } : message)),
      )
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
  /** Replaces the last answer with a new one to the same question. */
  const retry = () => ask(messages.slice(0, messages.findLastIndex(({ role }) => role === 'user') + 1))
  const stop = () => running.current?.abort()
  const clear = () => {
    stop()
    setMessages([])
  }
  return { messages, ready, busy: state === 'waiting' || state === 'writing', send, retry, stop, clear }
}
