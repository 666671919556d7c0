'use client'
import { useCallback, useEffect, useState } from 'react'
import type { Fault, Status } from '@/lib/types'

const CHOICES: Array<{ fault: Fault; name: string; what: string }> = [
  { fault: 'none', name: 'Healthy', what: 'Both providers answer.' },
  { fault: 'cut', name: 'Breaks off', what: 'Main cuts every answer in the middle.' },
  { fault: 'busy', name: 'Rate limit', what: 'Main says: too many requests.' },
  { fault: 'outage', name: 'Outage', what: 'Main is down; Spare is well.' },
  { fault: 'all-down', name: 'All down', what: 'Neither answers: retries, then an error.' },
]

const CIRCUITS = { CLOSED: 'closed', OPEN: 'open', HALF_OPEN: 'half-open' }

/** The provider from inside: what is wrong with it, and what the client does about it. */
export function Panel({ busy }: { busy: boolean }) {
  const [status, setStatus] = useState<Status>()
  const [lost, setLost] = useState(false)

  const load = useCallback(async (init?: RequestInit & { path?: string }) => {
    try {
      const response = await fetch(init?.path ?? '/api/status', init)
      if (!response.ok) throw new Error(response.statusText)
      setStatus((await response.json()) as Status)
      setLost(false)
    } catch {
      setLost(true)
    }
  }, [])

  useEffect(() => {
    void load()
    const timer = setInterval(() => document.hidden || void load(), busy ? 250 : 1500)
    return () => clearInterval(timer)
  }, [busy, load])

  const choose = (fault: Fault) => {
    if (status) setStatus({ ...status, fault })
    void load({
      path: '/api/fault',
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ fault }),
    })
  }

  return (
    <aside id="panel" className="panel" aria-label="Provider">
      {status?.fault && (
        <fieldset className="faults">
          <legend>The provider’s day</legend>
          <div className="choices">
            {CHOICES.map(({ fault, name }) => (
              <label key={fault} data-on={status.fault === fault}>
                <input type="radio" name="fault" checked={status.fault === fault} onChange={() => choose(fault)} />
                {name}
              </label>
            ))}
          </div>
          <p className="what">{CHOICES.find(({ fault }) => fault === status.fault)?.what}</p>
        </fieldset>
      )}

      <section>
        <h2>Providers</h2>
        <ul className="endpoints">
          {status?.endpoints.map(({ name, circuit, attempts, failures }) => (
            <li key={name}>
              <span className="dot" data-circuit={circuit} aria-hidden="true" />
              <strong>{name}</strong>
              <span className="numbers">
                {attempts} {attempts === 1 ? 'try' : 'tries'}
                {failures > 0 && `, ${failures} failed`}
              </span>
              <span className="circuit" data-circuit={circuit}>
                breaker {CIRCUITS[circuit]}
              </span>
            </li>
          ))}
        </ul>
      </section>

      <dl className="counters">
        {(['recoveries', 'retries', 'fallbacks'] as const).map((name) => (
          <div key={name}>
            <dd>{status?.counters[name] ?? 0}</dd>
            <dt>{{ recoveries: 'mended', retries: 'retries', fallbacks: 'fallbacks' }[name]}</dt>
          </div>
        ))}
      </dl>

      <section className="log">
        <h2>What happens</h2>
        {lost && <p className="empty">The server cannot be reached.</p>}
        {status && status.happenings.length === 0 && <p className="empty">Nothing yet. Ask something.</p>}
        <ol>
          {status?.happenings.toReversed().map(({ id, at, kind, text }) => (
            <li key={id} data-kind={kind}>
              <time dateTime={new Date(at).toISOString()}>{new Date(at).toLocaleTimeString('en-GB')}</time>
              {text}
            </li>
          ))}
        </ol>
      </section>
    </aside>
  )
}
