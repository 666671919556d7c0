// Two processes of a cluster.
const cluster = require('node:cluster')

if (cluster.isPrimary) {
  for (let count = 0; count < 2; count++) cluster.fork()
  cluster.on('exit', (_worker, code) => {
    if (code !== 0) process.exitCode = 1
  })
} else {
  require('./app.cjs').then(() => cluster.worker.disconnect())
}
