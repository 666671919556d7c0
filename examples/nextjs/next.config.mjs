/** @type {import('next').NextConfig} */
export default {
  // A native addon is loaded, not bundled.
  serverExternalPackages: ['holysheep'],
  // `next dev` serves its scripts to `localhost` alone; who opens the page by its address would have one that is dead.
  allowedDevOrigins: ['127.0.0.1', '[::1]'],
  // .next/standalone is the whole app with what it needs of node_modules: it runs wherever it is copied to.
  output: 'standalone',
  // This folder is the app, whatever lies around it.
  outputFileTracingRoot: import.meta.dirname,
  turbopack: { root: import.meta.dirname },
  poweredByHeader: false,
  devIndicators: false,
}
