/** @file Every scheduler against diffusers: timesteps, sigmas, and the latents of whole runs. */
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { OptionError } from '../../src/errors.ts';
import { Generator } from '../../src/random/generator.ts';
import { applyStep, modelInput } from '../../src/schedulers/apply-step.ts';
import { SCHEDULERS } from '../../src/schedulers/index.ts';
import type { SchedulerClass } from '../../src/schedulers/load.ts';
import type { Scheduler, SchedulerConfig } from '../../src/schedulers/scheduler.ts';
import { denoisingStartIndex, strengthStart } from '../../src/schedulers/start.ts';

const Settings = v.record(v.string(), v.unknown());
/** Places of timesteps and sigmas in `lists`, and the initial noise sigma. */
const Table = v.tuple([v.number(), v.nullable(v.number()), v.number()]);
const Run = v.object({
  chain: v.array(v.string()),
  config: v.number(),
  overrides: Settings,
  steps: v.union([
    v.number(),
    v.object({ timesteps: v.optional(v.array(v.number())), sigmas: v.optional(v.array(v.number())) }),
  ]),
  begin: v.number(),
  eta: v.nullable(v.number()),
  seed: v.number(),
  table: Table,
  final: v.number(),
});
const Tables = v.object({
  class: v.string(),
  config: v.number(),
  entries: v.array(v.object({ overrides: Settings, counts: v.array(Table) })),
});
const Start = v.object({
  class: v.string(),
  count: v.number(),
  strength: v.nullable(v.number()),
  denoisingStart: v.nullable(v.number()),
  begin: v.number(),
});
const Fixture = v.object({
  configs: v.array(Settings),
  runs: v.array(Run),
  tables: v.array(Tables),
  starts: v.array(Start),
  lists: v.array(v.string()),
});

const file = new URL('../fixtures/schedulers/schedules.json', import.meta.url);
const { configs, runs, tables, starts, lists } = v.parse(Fixture, JSON.parse(readFileSync(file, 'utf8')));

const SHAPE = [1, 2, 4, 4];

/** The float32 list at a place; none for a scheduler that has no such list. */
function list(place: number | null): Float32Array {
  const base64 = place === null ? '' : lists[place];
  return new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);
}

/** Mean squared error over the mean square of what is expected. */
function nmse(actual: Float32Array, expected: Float32Array): number {
  const error = actual.reduce((sum, value, i) => sum + (value - expected[i]) ** 2, 0);
  return error / expected.reduce((sum, value) => sum + value * value, 0);
}

/** The largest of |actual - expected| / max(|expected|, floor); Infinity for lists of different lengths. */
function difference(actual: readonly number[], expected: ArrayLike<number>, floor: number): number {
  if (actual.length !== expected.length) return Infinity;
  return Math.max(
    0,
    ...actual.map(
      (value, i) => Math.abs(value - expected[i]) / (Math.max(Math.abs(expected[i]), floor) || 1),
    ),
  );
}

/** The stand-in for the network, as in make_schedules.py. */
function model(input: Float32Array, timestep: number): Float32Array {
  const offset = 0.1 * Math.sin(timestep / 100);
  return input.map(
    (value, i) => Math.fround(value * Math.fround(0.8)) + Math.fround(offset + 0.1 * Math.sin(i)),
  );
}

function make(chain: readonly string[], config: number, overrides: SchedulerConfig): Scheduler {
  const classes: readonly SchedulerClass[] = Object.values(SCHEDULERS);
  const find = (name: string): SchedulerClass => {
    const known = classes.find(({ className }) => className === name);
    if (known === undefined) throw new RangeError(`no class ${name}`);
    return known;
  };
  const record = chain
    .slice(0, -1)
    .reduce<SchedulerConfig>((made, name) => find(name).fromConfig(made).config, configs[config]);
  return find(chain[chain.length - 1]).fromConfig(record, overrides);
}

function run(
  scheduler: Scheduler,
  { begin, eta, seed }: Pick<v.InferOutput<typeof Run>, 'begin' | 'eta' | 'seed'>,
): Float32Array {
  const generator = new Generator(seed);
  const noise = generator.randn(SHAPE);
  const mix = scheduler.noiseCoefficients(begin);
  const start =
    begin > 0
      ? noise.map((value, i) => mix.sample * Math.fround(Math.sin(i)) + mix.noise * value)
      : noise.map((value) => value * scheduler.initNoiseSigma);
  let state: Float32Array[] = Array.from({ length: scheduler.slots }, (_, slot) =>
    slot === 0 ? start : new Float32Array(start.length),
  );
  for (const step of scheduler.steps({ beginIndex: begin, ...(eta !== null && { eta }) })) {
    const output = model(modelInput(step, state), step.timestep);
    state = applyStep(step, state, output, step.usesNoise ? generator.randn(SHAPE) : undefined);
  }
  return state[0];
}

/** Runs agree to float32, but where coefficients hang on differences of nearly equal numbers, as diffusers rounds them. */
function latentsTolerance({ config }: Scheduler): number {
  const rounds = ['KDPM2AncestralDiscreteScheduler', 'DEISMultistepScheduler'];
  return config.rescale_betas_zero_snr === true || rounds.includes(String(config._class_name)) ? 1e-8 : 1e-11;
}

function expectTable(
  scheduler: Scheduler,
  [timesteps, sigmas, initNoiseSigma]: v.InferOutput<typeof Table>,
): void {
  expect(difference(scheduler.timesteps, list(timesteps), 10)).toBeLessThan(1e-6);
  // Some classes have an attribute `sigmas` in diffusers that no step uses.
  if (scheduler.sigmas) expect(difference(scheduler.sigmas, list(sigmas), 0)).toBeLessThan(1e-6);
  expect(difference([scheduler.initNoiseSigma], [initNoiseSigma], 0)).toBeLessThan(1e-6);
}

describe('runs follow diffusers', () => {
  test.each(runs.map((entry, index) => ({ ...entry, index })))(
    '$index: $chain $steps $overrides',
    ({ chain, config, overrides, steps, table, final, ...rest }) => {
      const scheduler = make(chain, config, overrides);
      if (typeof steps === 'number') scheduler.setTimesteps(steps);
      else scheduler.setTimesteps(undefined, steps);
      expectTable(scheduler, table);
      expect(nmse(run(scheduler, rest), list(final))).toBeLessThan(latentsTolerance(scheduler));
    },
  );
});

describe('timesteps and sigmas of 4, 20 and 50 steps follow diffusers', () => {
  test.each(
    tables.flatMap(({ class: name, config, entries }) =>
      entries.map((entry) => ({ ...entry, name, config, with: configs[config].beta_schedule ?? 'linear' })),
    ),
  )('$name, $with betas, $overrides', ({ name, config, overrides, counts }) => {
    const scheduler = make([name], config, overrides);
    [4, 20, 50].forEach((count, i) => {
      scheduler.setTimesteps(count);
      expectTable(scheduler, counts[i]);
    });
  });
});

describe('image-to-image begins where diffusers begins', () => {
  test.each(starts)(
    '$class of $count steps, strength $strength, denoising start $denoisingStart',
    ({ class: name, count, strength, denoisingStart, begin }) => {
      const scheduler = make([name], 1, {});
      scheduler.setTimesteps(count);
      const start = (): number =>
        denoisingStart === null
          ? strengthStart(scheduler, count, strength ?? 1)
          : denoisingStartIndex(scheduler, denoisingStart);
      // diffusers goes on with no steps at all.
      if (begin === scheduler.timesteps.length) expect(start).toThrow(OptionError);
      else expect(start()).toBe(begin);
    },
  );
});
