/** Ends the output of a run with one plain line that scripts can read. */
import type { Reporter, TestModule } from 'vitest/node'

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0, pending: 0 }
    for (const module of modules) {
      let tests = 0
      for (const { result } of collect(module)) {
        counts[result().state] += 1
        tests += 1
      }
      // a file that cannot be loaded has no tests that could fail
      if (tests === 0 && !module.ok()) counts.failed += 1
    }
    // after what the other reporters print
    process.once('exit', () => {
      process.stdout.write(
        `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped + counts.pending} skipped\n`,
      )
    })
  }
}

function collect(module: TestModule): { result: () => { state: 'passed' | 'failed' | 'skipped' | 'pending' } }[] {
  return [...module.children.allTests()].map((test) => ({ result: () => test.result() }))
}
