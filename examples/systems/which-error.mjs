import { HolySheepStreamingClient } from 'holysheep'

const client = new HolySheepStreamingClient()
for (const status of [400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504, 520, 529]) {
  console.log(status, client.isRetryable({ status }))
}
for (const code of ['ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'ECONNREFUSED', 'AUTH_FAILED']) {
  console.log(code, client.isRetryable({ code }))
}
