// The implementation matches the declarations: every value is assignable to its declaration.
import type * as Declared from '../../index'
import type * as DeclaredSimulator from '../../simulator'
import * as Built from '../../src/js/index'
import type * as BuiltSimulator from '../../src/js/simulator'

/** Instance types, because the declarations hide some constructors and classes are compared by theirs. */
type Instances<T> = { [Name in keyof T]: T[Name] extends { prototype: infer I } ? I : T[Name] }

declare const built: Instances<typeof Built>
declare const builtSimulator: Instances<typeof BuiltSimulator>
export const instances: Instances<typeof Declared> = built
export const simulatorInstances: Pick<Instances<typeof DeclaredSimulator>, 'startSimulator'> = builtSimulator

// Every export is declared.
type Undeclared = Exclude<keyof typeof Built, keyof typeof Declared>
export const undeclared: Undeclared extends never ? true : Undeclared = true

// The constructors of the classes that users instantiate.
export const clientConstructor: new (
  ...args: ConstructorParameters<typeof Declared.HolySheepStreamingClient>
) => Declared.HolySheepStreamingClient = Built.HolySheepStreamingClient
export const limitedClientConstructor: new (
  ...args: ConstructorParameters<typeof Declared.RateLimitedClient>
) => Declared.RateLimitedClient = Built.RateLimitedClient
export const breakerConstructor: new (
  ...args: ConstructorParameters<typeof Declared.CircuitBreaker>
) => Declared.CircuitBreaker = Built.CircuitBreaker
export const errorConstructor: new (message: string, options?: ErrorOptions) => Declared.APIError = Built.APIError

// The constructors of the wrappers of the HolySheep tutorials.
type Wrapper =
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
  [Name in Wrapper]: new (
    ...args: ConstructorParameters<(typeof Declared)[Name]>
  ) => InstanceType<(typeof Declared)[Name]>
}
export const wrappers: Constructors = Built
