// In a worker thread, where Vitest can fake `nextTick` too.
export default { test: { include: ['vitest/*.test.mjs'], pool: 'threads' } }
