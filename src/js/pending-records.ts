/** The records that a call has received and its consumer has not. */
import { AsyncResource } from 'node:async_hooks'

/** A record other than a delta. */
interface ControlRecord {
  readonly kind: number
  readonly text: string
}
/** Deltas are plain strings. */
type PendingRecord = string | ControlRecord

/** How many handled records the list may hold before they are removed from it. */
const MAX_HANDLED = 256
/** Shared by all calls without a list of records. Never written to. */
const EMPTY: PendingRecord[] = []

/**
 * The base class of a call, rather than a separate object: with a thousand calls, each further object that is touched
 * is a cache miss.
 */
export class PendingRecords extends AsyncResource {
  /** Usually there is one record, which needs no list. */
  protected firstPending: PendingRecord | undefined
  private rest: PendingRecord[] = EMPTY
  private head = 0

  constructor() {
    super('HOLYSHEEP')
  }

  protected pushPending(record: PendingRecord) {
    if (this.firstPending === undefined) this.firstPending = record
    else if (this.rest === EMPTY) this.rest = [record]
    else this.rest.push(record)
  }

  protected pendingCount() {
    return this.firstPending === undefined ? 0 : 1 + this.rest.length - this.head
  }

  /** Removes the first record. */
  protected shiftPending() {
    if (this.head < this.rest.length) {
      this.firstPending = this.rest[this.head++]
      // A call that never fully catches up must not accumulate handled records.
      if (this.head >= MAX_HANDLED && 2 * this.head >= this.rest.length) {
        this.rest = this.rest.slice(this.head)
        this.head = 0
      }
    } else {
      this.clearPending()
    }
  }

  protected clearPending() {
    this.firstPending = undefined
    this.rest = EMPTY
    this.head = 0
  }

  /** Removes the deltas at the front, and returns `text` followed by their text. */
  protected joinPending(text: string): string {
    let joined = text
    for (let next = this.firstPending; typeof next === 'string'; next = this.firstPending) {
      joined += next
      this.shiftPending()
    }
    return joined
  }
}
