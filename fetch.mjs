import fetch from './dist/fetch/index.js'

export const { createFetch } = fetch
