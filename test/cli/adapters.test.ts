/** @file The test processes themselves see an adapter, as test/support/adapters.setup.ts promises. */
import { expect, it } from 'vitest';
import { surveyAdapters } from '../../cli/src/adapters.ts';
import { softwareAdapterObstacle } from '../../cli/src/software-adapter.ts';

it.skipIf(softwareAdapterObstacle() !== undefined)(
  'lists the software adapter with its abilities',
  async () => {
    const { adapters, problem } = await surveyAdapters();
    expect(problem).toBeUndefined();
    const software = adapters.filter(({ kind }) => kind === 'software');
    expect(software).toMatchObject([{ architecture: 'swiftshader', f16: false, subgroups: [4, 4] }]);
    expect(software[0].maxBufferSize).toBeGreaterThanOrEqual(2 ** 28);
  },
);
