'use strict'
throw new Error(
  'holysheep is a native addon and runs in Node.js 20 or later. It cannot be loaded in a browser bundle or an ' +
    'edge runtime: call it from server code (in Next.js: a route with `runtime = "nodejs"`, and ' +
    '`serverExternalPackages: ["holysheep"]`).',
)
