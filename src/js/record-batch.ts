/** A batch of records from the queue that `src/binding/hub.rs` fills. */
import type { addon } from './native'

export type NativeHub = InstanceType<typeof addon.NativeHub>

/** `RecordKind` in `src/binding/batch.rs` has the same numbers. An event is every other kind. */
// biome-ignore lint/suspicious/noConstEnum: each delta is compared with these, so they are inlined.
export const enum RecordKind {
  Delta = 0,
  Complete = 1,
  End = 2,
  Error = 3,
  IsFailure = 5,
  Restart = 6,
}
/** Set in the kind of a record whose text is a separate string. */
export const LONG_TEXT = 8

/** When the next batch is due. `NextTake` in `src/binding/queue.rs` has the same numbers. */
export const PACED = 1
export const AT_ONCE = 2

/** The words before the records in the shared array: the number of records, and when the next batch is due. */
const HEADER = 2
/** The words of a record: call, kind, length of the text. */
const WORDS = 3

export class RecordBatch {
  /** When the next batch is due. */
  next = 0
  /**
   * The words of the records, the index of the next record, and the index after the last one. `InFlightCall` reads them
   * itself: V8 does not inline the accessors there, and each delta would pay for two calls.
   */
  words: Uint32Array = new Uint32Array(0)
  at = 0
  end = 0
  /** The joined short texts, and how far they have been read. */
  private text = ''
  private position = 0
  private readonly longTexts: string[] = []
  private longTextsRead = 0

  /** Sets the array that Rust writes records to. */
  attach(words: Uint32Array) {
    this.words = words
  }

  get isEmpty(): boolean {
    return this.at === this.end
  }

  /** Takes the next batch. The one before must be empty. */
  take(hub: NativeHub) {
    this.text = hub.take(this.longTexts)
    this.position = 0
    this.longTextsRead = 0
    this.at = HEADER
    this.end = HEADER + WORDS * (this.words[0] as number)
    this.next = this.words[1] as number
  }

  /** The id of the next record's call; undefined at the end of the batch. */
  get callId(): number | undefined {
    return this.at < this.end ? this.words[this.at] : undefined
  }

  /** The kind of the next record. */
  get kind(): number {
    return (this.words[this.at + 1] as number) & ~LONG_TEXT
  }

  /** Returns the text of the next record, and moves on to the record after it. */
  read(): string {
    const { at, words } = this
    this.at = at + WORDS
    if ((words[at + 1] as number) >= LONG_TEXT) return this.longTexts[this.longTextsRead++] as string
    const from = this.position
    this.position = from + (words[at + 2] as number)
    return this.text.substring(from, this.position)
  }

  /** Releases the long texts of a batch that has been read. */
  release() {
    if (this.longTextsRead === 0) return
    this.longTexts.length = 0
    this.longTextsRead = 0
  }
}
