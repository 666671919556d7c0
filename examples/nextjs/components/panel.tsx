import type { Fault, Status } from '@/lib/types'

const CHOICES: Array<{ fault: Fault; name: string; what: string }> = [
  { fault: 'none', name: 'Healthy', what: 'Both providers answer.' },
  { fault: 'cut', name: 'Breaks off', what: 'Main breaks off every answer in the middle.' },
  { fault: 'busy', name: 'Rate limit', what: 'Main says: too many requests.' },
  { fault: 'outage', name: 'Outage', what: 'Main is down; Spare is well.' },
  { fault: 'all-down', name: 'All down', what: 'Both are down: a few tries, then “No provider can answer”.' },
]

/** The states of a circuit breaker, for who does not know the word: a closed one lets requests through. */
const CIRCUITS = {
  CLOSED: { name: 'working', term: 'circuit breaker: closed' },
  OPEN: { name: 'resting', term: 'circuit breaker: open' },
  HALF_OPEN: { name: 'trying again', term: 'circuit breaker: half-open' },
}

export const nameOf = (fault: Fault) => CHOICES.find((choice) => choice.fault === fault)?.name

/** The provider from inside: what is wrong with it, and what the client does about it. */
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
          <legend>The provider’s day</legend>
          <div className="choices">
            {CHOICES.map(({ fault, name }) => (
              <label key={fault} data-on={status.fault === fault}>
                <input type="radio" name="fault" checked={status.fault === fault} onChange={() => onChoose(fault)} />
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
        <h2>What happens</h2>
        <p className="shared">On the server: every tab and visitor shares this, and the switch.</p>
        {lost && <p className="empty">The server cannot be reached.</p>}
        {status && status.courses.length === 0 && <p className="empty">Nothing yet. Ask something.</p>}
        {status?.courses.map(({ number, at, happenings }) => (
          <section key={number}>
            <h3>
              Question {number}{' '}
              <time dateTime={new Date(at).toISOString()}>{new Date(at).toLocaleTimeString('en-GB')}</time>
            </h3>
            <ol>
              {happenings.map(({ id, afterMs, kind, text }) => (
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
