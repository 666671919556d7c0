// Bundles the program as docs/bundlers.md says: node bundle.mjs BUNDLER FORMAT OUTPUT [external]
import { createRequire } from 'node:module'
import { basename, dirname, resolve } from 'node:path'

const [, , bundler, format, output, isExternal] = process.argv
const input = resolve(`app.${format === 'cjs' ? 'cjs' : 'mjs'}`)
const external = isExternal ? ['holysheep', 'holysheep/simulator', 'holysheep/fetch'] : []

const bundlers = {
  async esbuild() {
    const { build } = await import('esbuild')
    // esbuild leaves the `require` of Node's modules in CommonJS code, and an ES module has none.
    const js = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"
    const banner = format === 'esm' && !isExternal ? { js } : undefined
    const shared = { entryPoints: [input], outfile: output, bundle: true, platform: 'node', logLevel: 'warning' }
    const result = await build({ ...shared, format, banner, external: isExternal ? ['holysheep'] : [] })
    return result.warnings.length
  },
  async webpack() {
    const webpack = createRequire(import.meta.url)('webpack')
    const isModule = format === 'esm'
    const stats = await new Promise((resolve, reject) => {
      webpack(
        {
          mode: 'production',
          target: 'node',
          entry: input,
          output: { path: dirname(output), filename: basename(output), module: isModule },
          experiments: { outputModule: isModule },
          externalsType: isModule ? 'module' : 'commonjs',
          externals: external,
        },
        (error, stats) => (error ? reject(error) : resolve(stats)),
      )
    })
    const { errors, warnings } = stats.toJson({ errors: true, warnings: true })
    if (errors.length > 0) throw new Error(errors.map(({ message }) => message).join('\n'))
    // One for each platform that is not installed, as for every optional dependency.
    return warnings.filter(({ message }) => !/Can't resolve 'holysheep-\w+-\w+/.test(message)).length
  },
  async rollup() {
    const { rollup } = await import('rollup')
    const [commonjs, json, { nodeResolve }] = await Promise.all([
      import('@rollup/plugin-commonjs').then((plugin) => plugin.default),
      import('@rollup/plugin-json').then((plugin) => plugin.default),
      import('@rollup/plugin-node-resolve'),
    ])
    const warnings = []
    const bundle = await rollup({
      input,
      external,
      plugins: [nodeResolve({ exportConditions: ['node'], preferBuiltins: true }), commonjs(), json()],
      onwarn: (warning) => warnings.push(warning),
    })
    await bundle.write({ file: output, format: format === 'cjs' ? 'cjs' : 'es', inlineDynamicImports: true })
    return warnings.length
  },
}

const warnings = await bundlers[bundler]()
if (warnings > 0) throw new Error(`${bundler}: ${warnings} warnings`)
