import ai from './dist/ai-sdk/index.js'

export const { createHolySheep } = ai
