// A registry on loopback that has only the packages in pack/.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { root } from './lib.mjs'

/**
 * Serves the packages of these manifests from pack/. `downloads` has the names of the packages that were downloaded,
 * `unknown` the names of the requested packages that it does not have.
 */
export async function startRegistry(manifests) {
  const downloads = []
  const unknown = []
  const server = createServer((request, response) => {
    const [, name, file] = decodeURIComponent(request.url).match(/^\/((?:@[^/]+\/)?[^/]+)(?:\/-\/(.+))?$/) ?? []
    const tarball = (manifest) => join(root, 'pack', `${manifest.name}-${manifest.version}.tgz`)
    const manifest = manifests.find((entry) => entry.name === name)
    if (file) downloads.push(name)
    if (!manifest || (file && !existsSync(tarball(manifest)))) {
      if (!manifest) unknown.push(name)
      response.writeHead(404, { 'content-type': 'application/json' }).end('{}')
    } else if (file) {
      response.end(readFileSync(tarball(manifest)))
    } else {
      // A platform that was not packed here has no tarball, and npm must not download one.
      const bytes = existsSync(tarball(manifest)) ? readFileSync(tarball(manifest)) : Buffer.alloc(0)
      const dist = {
        tarball: `${url}${name}/-/${name}-${manifest.version}.tgz`,
        integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
      }
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(
        JSON.stringify({
          name,
          'dist-tags': { latest: manifest.version },
          versions: { [manifest.version]: { ...manifest, dist } },
        }),
      )
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${server.address().port}/`
  return { url, downloads, unknown, close: () => server.close() }
}
