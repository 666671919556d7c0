/** Loads the package with the `require` of the test, which may have its own registry of modules. */
exports.load = (require) => ({
  ...require('holysheep'),
  ...require('holysheep/simulator'),
  ...require('holysheep/fetch'),
})
