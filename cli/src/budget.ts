/** @file `--budget` and `--lossy`: how much memory a model may take, and the plan that follows, for people. */
import {
  OptionError,
  type ComponentReport,
  type DeviceMemoryReport,
  type MemoryOption,
  type MemoryReport,
  type Peak,
} from 'calotype';
import { readByComponent } from './component-backends.ts';
import { binaryBytes, table } from './table.ts';

/** Arguments of the commands that load models. */
export const BUDGET_ARGS = {
  budget: {
    type: 'string',
    valueHint: 'bytes',
    description: 'Memory of the device that may be used, such as 4GB (as much as is needed)',
  },
  'component-budget': {
    type: 'string',
    valueHint: 'component=bytes',
    description: 'Another budget where that component is: vae=16GB (what --budget says, for each device)',
  },
  'host-budget': {
    type: 'string',
    valueHint: 'bytes',
    description:
      'Within a budget, memory of this computer for what is not on the device (half of what is free)',
  },
  lossy: {
    type: 'boolean',
    description: 'Within a budget, let weights be held as float8, which changes pictures a little',
  },
} as const;

/** The library's option. Throws OptionError for --lossy without a budget. */
export function readBudget(args: Readonly<Record<string, unknown>>): MemoryOption | undefined {
  const { budget } = args;
  const lossy = args['lossy'] === true || args['lossy'] === 'true';
  const text = args['component-budget'];
  const componentBudgets = readByComponent(
    '--component-budget',
    typeof text === 'string' ? text : undefined,
    'vae=16GB',
  );
  const hostBudget = args['host-budget'];
  const others = {
    ...(componentBudgets.size > 0 && { componentBudgets: Object.fromEntries(componentBudgets) }),
    ...(typeof hostBudget === 'string' && { hostBudget }),
  };
  if (typeof budget === 'string') return { budget, ...others, lossy };
  if (lossy || Object.keys(others).length > 0)
    throw new OptionError('there is no budget that it could belong to', {
      field: lossy ? '--lossy' : 'componentBudgets' in others ? '--component-budget' : '--host-budget',
      remedy: 'Give one, such as --budget 4GB.',
    });
  return undefined;
}

/** Bytes a second that come from the host in practice: half of what PCIe 4.0 promises. */
const HOST_BYTES_PER_SECOND = 16e9;
/** Share of a device's best that networks reach. */
const REACHED = 0.4;

/**
 * How many times as long a step will take for what goes through the slots, roughly; 1 where nothing does.
 * @param flops of a step
 * @param peak the device's best; without it there is no telling
 */
export function slowdownOf(
  { phases }: MemoryReport,
  flops: number,
  peak: Peak | undefined,
): number | undefined {
  const components = phases.find(({ phase }) => phase === 'denoise')?.components ?? [];
  const moved = (kind: ComponentReport['weights']): number =>
    components.reduce((sum, { weights, movedBytes }) => sum + (weights === kind ? movedBytes : 0), 0);
  if (moved('streamed') + moved('float8') === 0) return 1;
  if (!peak) return undefined;
  // A byte that was held as float8 is read once, and twice as many are written.
  const inPlace = peak.bytes === undefined ? 0 : (1.5 * moved('float8')) / peak.bytes;
  const seconds = moved('streamed') / HOST_BYTES_PER_SECOND + inPlace;
  return 1 + seconds / (flops / (REACHED * peak.flops));
}

/** A plan as text, those of other devices below it. */
export function formatPlan({ others, ...plan }: MemoryReport, slowdown: number | undefined): string {
  return [formatDevice(plan, slowdown), ...others.map((other) => formatDevice(other, undefined))].join('\n');
}

function formatDevice(
  { backend, budget, peakBytes, hostBytes, phases }: DeviceMemoryReport,
  slowdown: number | undefined,
): string {
  const rows = phases.flatMap(({ phase, peakBytes: bytes, components }) =>
    components.map((component, i) => [
      i === 0 ? phase : '',
      component.name,
      describeWeights(component),
      binaryBytes(component.weightBytes),
      binaryBytes(component.workBytes),
      component.movedBytes > 0 ? binaryBytes(component.movedBytes) : '',
      i === 0 ? binaryBytes(bytes) : '',
    ]),
  );
  const again = phases
    .flatMap(({ components }) => components)
    .reduce((sum, { isKept, weightBytes }) => sum + (isKept ? 0 : weightBytes), 0);
  const header = ['phase', 'component', 'weights', 'bytes', 'work', 'moved a run', 'peak'];
  const how = phases.flatMap(({ kind, how: label }) => (kind === 'exact' ? [] : [`${label} (${kind})`]));
  return [
    `\nmemory of ${backend}: at most ${binaryBytes(peakBytes)} of ${binaryBytes(budget)}${hostBytes > 0 ? `, and ${binaryBytes(hostBytes)} of the host's` : ''}`,
    table([header, ...rows], [0, 1, 2]).replaceAll(/^/gm, '  '),
    '  attention: its kernels hold no scores, so there is nothing to slice',
    ...how.map((line) => `  not as it would be without a budget: ${line}`),
    ...(again > 0 ? [`  each call brings ${binaryBytes(again)} of weights to the device again`] : []),
    ...(slowdown === undefined ? [] : [`  a step takes about ${slowdown.toPrecision(2)} times as long`]),
  ].join('\n');
}

function describeWeights({ weights, isKept }: ComponentReport): string {
  const where = { whole: 'resident', float8: 'held as float8', streamed: 'streamed' }[weights];
  return isKept ? where : `${where}, in this phase only`;
}
