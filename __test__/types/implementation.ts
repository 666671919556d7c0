// What is built is what is declared: every value of the implementation is assignable to its declaration.
import type * as Declared from '../../index'
import type * as DeclaredSimulator from '../../simulator'
import * as Built from '../../src/js/index'
import type * as BuiltSimulator from '../../src/js/simulator'

/** The instances: the declarations hide some constructors, and classes compare by theirs. */
type Instances<T> = { [Name in keyof T]: T[Name] extends { prototype: infer I } ? I : T[Name] }

declare const built: Instances<typeof Built>
declare const builtSimulator: Instances<typeof BuiltSimulator>
export const instances: Instances<typeof Declared> = built
export const simulatorInstances: Pick<Instances<typeof DeclaredSimulator>, 'startSimulator'> = builtSimulator

// And nothing is built that is not declared.
type Undeclared = Exclude<keyof typeof Built, keyof typeof Declared>
export const undeclared: Undeclared extends never ? true : Undeclared = true

// The constructors of what users make themselves.
export const makesClient: new (
  ...given: ConstructorParameters<typeof Declared.HolySheepStreamingClient>
) => Declared.HolySheepStreamingClient = Built.HolySheepStreamingClient
export const makesLimited: new (
  ...given: ConstructorParameters<typeof Declared.RateLimitedClient>
) => Declared.RateLimitedClient = Built.RateLimitedClient
export const makesBreaker: new (
  ...given: ConstructorParameters<typeof Declared.CircuitBreaker>
) => Declared.CircuitBreaker = Built.CircuitBreaker
export const isError: new (message: string, options?: ErrorOptions) => Declared.APIError = Built.APIError

// The same of the documents' systems.
type Face =
  | 'BoundedRetryQueue'
  | 'HolySheepAIClient'
  | 'HolySheepRetryManager'
  | 'ModelDegradationManager'
  | 'MultiProviderRouter'
  | 'RetryAIManager'
  | 'RetryConfig'
  | 'RetryableError'
  | 'TimeoutAIManager'
type Constructors = {
  [Name in Face]: new (
    ...given: ConstructorParameters<(typeof Declared)[Name]>
  ) => InstanceType<(typeof Declared)[Name]>
}
export const makesFaces: Constructors = Built
