/** @type {import('next').NextConfig} */
export default {
  // Loaded from node_modules, not bundled.
  serverExternalPackages: ['holysheep'],
  // `next dev` serves its scripts only to `localhost`; a page opened by IP address would not work without this.
  allowedDevOrigins: ['127.0.0.1', '[::1]'],
  // .next/standalone is the app with the files of node_modules that it needs: it runs wherever it is copied to.
  output: 'standalone',
  // This folder is the root, whatever is around it.
  outputFileTracingRoot: import.meta.dirname,
  turbopack: { root: import.meta.dirname },
  poweredByHeader: false,
  devIndicators: false,
}
