/** The calls of a client that have not ended. */
import { Deferred } from './deferred'

/** A call in flight, and the promise of its end if somebody waits for it. */
interface Call {
  settled: Deferred<void> | undefined
}

export class CallsInFlight {
  private readonly calls = new Set<Call>()

  /** A call begins. The returned function ends it. */
  begin(): () => void {
    const call: Call = { settled: undefined }
    this.calls.add(call)
    return () => {
      this.calls.delete(call)
      call.settled?.resolve()
    }
  }

  /** Resolves once every call of now has ended. */
  async settled(): Promise<void> {
    const ends = [...this.calls].map((call) => {
      call.settled ??= new Deferred<void>()
      return call.settled.promise
    })
    await Promise.all(ends)
  }
}
