'use client'
import { type KeyboardEvent, type SubmitEvent, useEffect, useRef, useState } from 'react'
import { type Message, useChat } from '@/lib/use-chat'
import { useStatus } from '@/lib/use-status'
import { CheckIcon, Logo, PanelIcon, PlusIcon, SendIcon, StopIcon } from './icons'
import { nameOf, Panel } from './panel'

const SUGGESTIONS = [
  'What happens when the connection breaks mid-answer?',
  'Why not simply start the answer over?',
  'When does another provider take over?',
]

export function Chat() {
  const { messages, ready, busy, send, retry, stop, clear } = useChat()
  const { status, lost, choose } = useStatus(busy)
  const [panel, setPanel] = useState(false)
  const input = useRef<HTMLTextAreaElement>(null)
  const scroller = useRef<HTMLDivElement>(null)
  const last = messages.at(-1)

  // Scrolls with the text, unless the user has scrolled up.
  const following = useRef(true)
  // biome-ignore lint/correctness/useExhaustiveDependencies: it runs when the text grows
  useEffect(() => {
    const element = scroller.current
    if (element && following.current) element.scrollTop = element.scrollHeight
  }, [messages])

  const ask = (text: string) => {
    if (busy || text.trim() === '') return
    following.current = true
    void send(text.trim())
    input.current?.focus()
  }

  return (
    <div className="app" data-panel={panel}>
      <header className="bar">
        <h1 className="brand">
          <Logo /> HolySheep <span>Chat</span>
        </h1>
        <div className="actions">
          <button
            type="button"
            className="quiet"
            aria-label="New chat"
            onClick={clear}
            disabled={messages.length === 0}
          >
            <PlusIcon /> <span>New chat</span>
          </button>
          <button
            type="button"
            className="quiet toggle"
            aria-expanded={panel}
            aria-controls="panel"
            onClick={() => setPanel(!panel)}
          >
            <PanelIcon /> <span className={panel ? undefined : 'word'}>{panel ? 'Back' : 'Provider'}</span>
            {!panel && status?.fault && (
              <b data-fault={status.fault}>
                <span className="visually-hidden">: </span>
                {nameOf(status.fault)}
              </b>
            )}
          </button>
        </div>
      </header>

      <main className="chat">
        <div
          className="scroller"
          ref={scroller}
          onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
            following.current = scrollHeight - scrollTop - clientHeight < 80
          }}
        >
          {ready && messages.length === 0 ? (
            <Welcome onAsk={ask} />
          ) : (
            <ol className="messages" aria-label="Conversation">
              {messages.map((message) => (
                <Item key={message.id} message={message} onRetry={message === last && !busy ? retry : undefined} />
              ))}
            </ol>
          )}
        </div>
        <p className="visually-hidden" role="status">
          {announcement(last)}
        </p>
        <Composer input={input} busy={busy} onAsk={ask} onStop={stop} />
      </main>

      <Panel status={status} lost={lost} onChoose={choose} />
    </div>
  )
}

/** What a screen reader announces: the beginning and the end, not every word. */
function announcement(last: Message | undefined): string {
  if (last?.role !== 'assistant') return ''
  if (last.state === 'waiting' || last.state === 'writing') return last.progress?.text ?? 'The answer is being written.'
  return last.state === 'done' ? `The answer is complete. ${last.text}` : ''
}

function Welcome({ onAsk }: { onAsk: (text: string) => void }) {
  return (
    <section className="welcome">
      <h2>Ask a question and get the complete answer.</h2>
      <p>
        Make the provider fail in the panel and watch what happens behind the scenes: recovered answers, retries and
        failovers.
      </p>
      <ul>
        {SUGGESTIONS.map((text) => (
          <li key={text}>
            <button type="button" onClick={() => onAsk(text)}>
              {text}
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Item({ message, onRetry }: { message: Message; onRetry?: () => void }) {
  const { role, text, state, error } = message
  if (role === 'user') {
    return (
      <li className="question">
        <span className="visually-hidden">You: </span>
        <p>{text}</p>
      </li>
    )
  }
  return (
    <li className="answer" data-state={state}>
      <span className="visually-hidden">Answer: </span>
      {text !== '' && <p className="text">{text}</p>}
      {(state === 'waiting' || (state === 'writing' && message.progress)) && (
        <p className="thinking" aria-hidden="true">
          <i />
          <i />
          <i />
          {message.progress && <Waiting {...message.progress} />}
        </p>
      )}
      {state === 'done' && <Note message={message} />}
      {(state === 'stopped' || state === 'interrupted' || state === 'failed') && (
        <div
          className="note"
          data-kind={state === 'failed' ? 'bad' : 'plain'}
          role={state === 'failed' ? 'alert' : undefined}
        >
          {state === 'failed'
            ? error
            : state === 'stopped'
              ? 'You stopped this answer.'
              : 'The page was closed before this answer was complete.'}
          {onRetry && (
            <button type="button" onClick={onRetry}>
              Try again
            </button>
          )}
        </div>
      )}
    </li>
  )
}

/** What the answer is waiting for, with the seconds left of a delay. */
function Waiting({ text, until }: { text: string; until?: number }) {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    if (until === undefined) return
    setNow(Date.now())
    const timer = setInterval(() => setNow(Date.now()), 250)
    return () => clearInterval(timer)
  }, [until])
  const seconds = until === undefined ? 0 : Math.ceil((until - now) / 1000)
  return (
    <span>
      {text}
      {seconds > 0 && ` in ${seconds} s`} …
    </span>
  )
}

/** How the answer was completed, if it took more than one attempt. */
function Note({ message: { summary } }: { message: Message }) {
  if (!summary || summary.attempts === 1) return null
  const { recoveries, endpoints, attempts } = summary
  const by = [...new Set(endpoints)].join(', then ')
  const what =
    recoveries === 0
      ? `Answered by ${by} on attempt ${attempts}`
      : `The connection was lost${recoveries > 1 ? ` ${recoveries} times` : ''} and the answer was recovered · ${by}`
  return (
    <p className="note" data-kind="good">
      <CheckIcon /> <span>{what}</span>
    </p>
  )
}

function Composer({
  input,
  busy,
  onAsk,
  onStop,
}: {
  input: React.RefObject<HTMLTextAreaElement | null>
  busy: boolean
  onAsk: (text: string) => void
  onStop: () => void
}) {
  const [text, setText] = useState('')
  const submit = (event?: SubmitEvent<HTMLFormElement>) => {
    event?.preventDefault()
    if (busy || text.trim() === '') return
    onAsk(text)
    setText('')
  }
  const onKeyDown = (event: KeyboardEvent) => {
    // Not while an input method is composing a word.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    submit()
  }
  return (
    <form className="composer" onSubmit={submit}>
      <label className="visually-hidden" htmlFor="message">
        Your message
      </label>
      <textarea
        id="message"
        ref={input}
        rows={1}
        value={text}
        placeholder="Write a message"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      {busy ? (
        <button type="button" className="round" aria-label="Stop" title="Stop" onClick={onStop}>
          <StopIcon />
        </button>
      ) : (
        <button type="submit" className="round" aria-label="Send" title="Send" disabled={text.trim() === ''}>
          <SendIcon />
        </button>
      )}
    </form>
  )
}
