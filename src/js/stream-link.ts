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
const unread = new FinalizationRegistry<CallHandle>((call) => {
  call.cancel(new DOMException('The stream was collected, and nothing had been read of it', 'AbortError'))
})

/** The stream, unless it was collected. */
export const streamOf = <Stream extends object>(link: Link<Stream>) => link.held ?? link.weak?.deref()

/** Has the call hold the stream: something of it is taken. */
export function hold<Stream extends object>(link: Link<Stream>, stream: Stream) {
  if (link.weak) unread.unregister(link)
  link.weak = undefined
  link.held = stream
}

/** Nothing of the stream is taken yet, so only its owner holds it. */
export function release<Stream extends object>(link: Link<Stream>, stream: Stream, call: CallHandle) {
  link.weak = new WeakRef(stream)
  link.held = undefined
  unread.register(stream, call, link)
}
