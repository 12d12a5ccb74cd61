import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: {
    alias: [
      { find: /^eventail$/, replacement: fileURLToPath(new URL('src/index.ts', import.meta.url)) },
      { find: /^eventail\/store$/, replacement: fileURLToPath(new URL('src/store/index.ts', import.meta.url)) },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/bus/global-setup.ts'],
    reporters: ['default', './test/bus/summary-reporter.ts'],
    pool: 'forks',
    maxWorkers: 3,
    expect: { poll: { timeout: 5_000 } },
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
})
