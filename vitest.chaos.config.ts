/** The slow suite: `npm run test:chaos`. */
import { defineConfig } from 'vitest/config'
import config from './vitest.config.ts'

export default defineConfig({
  ...config,
  test: {
    ...config.test,
    include: ['test/reliability/**/*.chaos.ts'],
    // they need the machine for themselves
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
})
