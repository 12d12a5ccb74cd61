import { fileURLToPath } from 'node:url'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { defineConfig } from 'vitest/config'

/** Those that take longest begin first, so that none is left over at the end. */
const LONG =
  /(?:transport\/outage|reliability\/pipeline|dev\/demo|cli\/dev|cli\/inspecting|examples\/examples|dead-letter\/resurrect|dev\/broker)\.test/

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- it is no array's
    const sorted = await super.sort(files)
    return sorted.toSorted((a, b) => Number(LONG.test(b.moduleId)) - Number(LONG.test(a.moduleId)))
  }
}

export default defineConfig({
  resolve: {
    alias: [
      { find: /^eventail$/, replacement: fileURLToPath(new URL('src/index.ts', import.meta.url)) },
      { find: /^eventail\/store$/, replacement: fileURLToPath(new URL('src/store/index.ts', import.meta.url)) },
      { find: /^eventail\/health$/, replacement: fileURLToPath(new URL('src/health/index.ts', import.meta.url)) },
      { find: /^eventail\/testing$/, replacement: fileURLToPath(new URL('src/testing/index.ts', import.meta.url)) },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/bus/global-setup.ts'],
    reporters: ['default', './test/bus/summary-reporter.ts'],
    sequence: { sequencer: LongestFirst },
    pool: 'forks',
    maxWorkers: 4,
    maxConcurrency: 16,
    expect: { poll: { timeout: 10_000 } },
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
})
