/** @type {import('next').NextConfig} */
export default {
  // A native addon is loaded, not bundled.
  serverExternalPackages: ['holysheep'],
  // .next/standalone is the whole app with what it needs of node_modules: it runs wherever it is copied to.
  output: 'standalone',
  // This folder is the app, whatever lies around it.
  outputFileTracingRoot: import.meta.dirname,
  turbopack: { root: import.meta.dirname },
  poweredByHeader: false,
  devIndicators: false,
}
