/**
 * @file A Vitest reporter that names the tests which passed only when they were run again (`.ci/run` lets each be: the
 * machine is shared, and most of what runs there are processes, browsers and devices). Each is a fault to be mended, in the test
 * or in what it tests.
 */
import type { Reporter, TestModule } from 'vitest/node';

// oxlint-disable-next-line import/no-default-export -- Vitest takes a reporter's default export
export default class FlakyTests implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    for (const module of modules)
      for (const test of module.children.allTests('passed'))
        if (test.diagnostic()?.flaky) process.stderr.write(`flaky: ${module.moduleId}: ${test.fullName}\n`);
  }
}
