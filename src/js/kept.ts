/** What a call keeps until it can be handed it. */
import { AsyncResource } from 'node:async_hooks'

/** A record that is no piece. */
interface Note {
  readonly kind: number
  readonly text: string
}
/** Pieces are plain strings. */
type Item = string | Note

/** How many handled records a list may hold before they are taken out of it. */
const MAX_HANDLED = 256
/** Shared by the calls for which no list of items waits; never written to. */
const NOTHING: Item[] = []

/** The base of a call: one object, because with a thousand calls each that is touched is a cache miss. */
export class Kept extends AsyncResource {
  /** Mostly it is one item, which needs no list. */
  protected first: Item | undefined
  private rest: Item[] = NOTHING
  private head = 0

  constructor() {
    super('HOLYSHEEP')
  }

  protected keep(item: Item) {
    if (this.first === undefined) this.first = item
    else if (this.rest === NOTHING) this.rest = [item]
    else this.rest.push(item)
  }

  /** How many items there are. */
  protected left() {
    return this.first === undefined ? 0 : 1 + this.rest.length - this.head
  }

  /** Drops the first one. */
  protected shift() {
    if (this.head < this.rest.length) {
      this.first = this.rest[this.head++]
      // Of a call that is never quite up to date: what is handled must not pile up.
      if (this.head >= MAX_HANDLED && 2 * this.head >= this.rest.length) {
        this.rest = this.rest.slice(this.head)
        this.head = 0
      }
    } else {
      this.first = undefined
      this.rest = NOTHING
      this.head = 0
    }
  }

  /** `text`, and the pieces that follow, which are dropped here. */
  protected join(text: string): string {
    let joined = text
    for (let next = this.first; typeof next === 'string'; next = this.first) {
      joined += next
      this.shift()
    }
    return joined
  }
}
