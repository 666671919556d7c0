// The request that every client sends.
export const MODEL = 'gpt-4.1'
export const PROMPT = 'Count the sheep.'
export const MESSAGES = [{ role: 'user', content: PROMPT }]
export const HEADERS = { 'content-type': 'application/json', authorization: 'Bearer bench' }
export const body = (stream) => JSON.stringify({ model: MODEL, messages: MESSAGES, stream })
