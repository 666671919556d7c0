/** `holysheep/simulator`: a thin wrapper around the simulator in Rust. */
import type { RecordedRequest, Scenario, SimulatorOptions } from '../../simulator'
import { native } from './errors'
import { addon } from './native'
import { encode, optionsObject } from './options'

let create: (options: object) => Simulator

/** The simulators that were not closed. One that is collected stops, and a program may keep nothing of it but its URL. */
const running = new Set<Simulator>()

export class Simulator {
  readonly #native: InstanceType<typeof addon.NativeSimulator>
  readonly url: string
  readonly port: number
  readonly certificate: string | null

  static {
    create = (options) => new Simulator(options)
  }

  private constructor(options: object) {
    this.#native = native(() => new addon.NativeSimulator(encode(options)))
    this.url = this.#native.url
    this.port = this.#native.port
    this.certificate = this.#native.certificate ?? null
  }

  get openConnections(): number {
    return this.#native.openConnections
  }

  get requests(): RecordedRequest[] {
    return JSON.parse(this.#native.requests())
  }

  script(...scenarios: Scenario[]): this {
    native(() => this.#native.script(encode(scenarios)))
    return this
  }

  setDefault(scenario: Scenario): this {
    native(() => this.#native.setDefault(encode(scenario)))
    return this
  }

  clear(): void {
    this.#native.clear()
  }

  reset(): void {
    this.#native.reset()
  }

  async close(): Promise<void> {
    running.delete(this)
    native(() => this.#native.close())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `Simulator { url: '${this.url}' }`
  }
}

export async function startSimulator(options?: SimulatorOptions): Promise<Simulator> {
  const simulator = create(optionsObject('options', options))
  running.add(simulator)
  return simulator
}

export { TestClock, testClock } from './test-clock'
