import opentelemetry from './dist/opentelemetry.js'

export const { HolySheepInstrumentation, instrument } = opentelemetry
