import type { Fault, Status } from '@/lib/types'

const CHOICES: Array<{ fault: Fault; name: string; description: string }> = [
  { fault: 'none', name: 'Healthy', description: 'Both providers answer.' },
  { fault: 'disconnect', name: 'Disconnects', description: 'Main disconnects in the middle of every answer.' },
  { fault: 'busy', name: 'Rate limit', description: 'Main responds with 429 Too Many Requests.' },
  { fault: 'outage', name: 'Outage', description: 'Main is down; Spare is up.' },
  { fault: 'all-down', name: 'All down', description: 'Both providers are down: after a few attempts the call fails.' },
]

/** The states of a circuit breaker in plain words: a closed one lets requests pass. */
const CIRCUITS = {
  CLOSED: { name: 'working', term: 'circuit breaker: closed' },
  OPEN: { name: 'paused', term: 'circuit breaker: open' },
  HALF_OPEN: { name: 'probing', term: 'circuit breaker: half-open' },
}

export const nameOf = (fault: Fault) => CHOICES.find((choice) => choice.fault === fault)?.name

/** The panel of the provider: the fault it simulates, and how the client handles it. */
export function Panel({
  status,
  lost,
  onChoose,
}: {
  status: Status | undefined
  lost: boolean
  onChoose: (fault: Fault) => void
}) {
  return (
    <aside id="panel" className="panel" aria-label="Provider">
      {status?.fault && (
        <fieldset className="faults">
          <legend>Simulated fault</legend>
          <div className="choices">
            {CHOICES.map(({ fault, name }) => (
              <label key={fault} data-on={status.fault === fault}>
                <input type="radio" name="fault" checked={status.fault === fault} onChange={() => onChoose(fault)} />
                {name}
              </label>
            ))}
          </div>
          <p className="what">{CHOICES.find(({ fault }) => fault === status.fault)?.description}</p>
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
                {attempts} {attempts === 1 ? 'attempt' : 'attempts'}
                {failures > 0 && `, ${failures} failed`}
              </span>
              <span className="circuit" data-circuit={circuit} title={CIRCUITS[circuit].term}>
                {CIRCUITS[circuit].name}
              </span>
            </li>
          ))}
        </ul>
      </section>

      <dl className="counters">
        {(['recoveries', 'retries', 'fallbacks'] as const).map((name) => (
          <div key={name}>
            <dd>{status?.counters[name] ?? 0}</dd>
            <dt>{{ recoveries: 'recovered', retries: 'retries', fallbacks: 'failovers' }[name]}</dt>
          </div>
        ))}
      </dl>

      <section className="log">
        <h2>Log</h2>
        <p className="shared">This log and the fault belong to the server: every tab and visitor shares them.</p>
        {lost && <p className="empty">The server is unreachable.</p>}
        {status && status.logs.length === 0 && <p className="empty">Nothing yet. Ask a question.</p>}
        {status?.logs.map(({ number, at, entries }) => (
          <section key={number}>
            <h3>
              Question {number}{' '}
              <time dateTime={new Date(at).toISOString()}>{new Date(at).toLocaleTimeString('en-GB')}</time>
            </h3>
            <ol>
              {entries.map(({ id, afterMs, kind, text }) => (
                <li key={id} data-kind={kind}>
                  <span>{(afterMs / 1000).toFixed(1)} s</span>
                  {text}
                </li>
              ))}
            </ol>
          </section>
        ))}
      </section>
    </aside>
  )
}
