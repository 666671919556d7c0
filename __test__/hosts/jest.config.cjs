const project = (displayName, test, options) => ({
  displayName,
  testMatch: [`<rootDir>/jest/${test}.test.cjs`],
  moduleFileExtensions: ['cjs', 'mjs', 'js', 'json', 'node'],
  transform: {},
  ...options,
})

module.exports = {
  projects: [
    project('node', 'timers'),
    project('enableGlobally', 'global', { fakeTimers: { enableGlobally: true } }),
    // jsdom takes the entry point for browsers by default.
    project('jsdom', 'timers', {
      testEnvironment: 'jsdom',
      testEnvironmentOptions: { customExportConditions: ['node'] },
    }),
    project('resetModules', 'copies'),
  ],
}
