/** How a call refers to its stream. */
import type { CallHandle } from './call-handle'

/**
 * Leads from a call to its stream. It holds the stream until the call begins, and again once something of the stream is
 * taken. In between it does not, so that a stream which nobody reads or holds is collected.
 */
export interface Link<Stream extends object> {
  held: Stream | undefined
  weak: WeakRef<Stream> | undefined
}

/** Cancels the calls of streams that were collected before anything of them was taken. */
export const unread = new FinalizationRegistry<CallHandle>((call) => {
  call.cancel(new DOMException('The stream was collected, and nothing had been read of it', 'AbortError'))
})
