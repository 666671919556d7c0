// Isolates the tests from the machine's environment. HolySheep tutorial 004 reads the key from it.
import { KEY } from './classes.mjs'

process.env.HOLYSHEEP_API_KEY = KEY
for (const name of ['HOLYSHEEP_BASE_URL', 'HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY']) {
  delete process.env[name]
  delete process.env[name.toLowerCase()]
}
