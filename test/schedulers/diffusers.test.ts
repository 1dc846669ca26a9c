/** @file Every scheduler against diffusers: timesteps, sigmas, and the latents of whole runs. */
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { Generator } from '../../src/random/generator.ts';
import { applyStep, modelInput } from '../../src/schedulers/apply-step.ts';
import { type SchedulerClass, SCHEDULERS } from '../../src/schedulers/index.ts';
import type { Scheduler } from '../../src/schedulers/scheduler.ts';

type WithSigmas = Scheduler & { readonly sigmas?: readonly number[] };

const Case = v.object({
  chain: v.array(v.string()),
  config: v.record(v.string(), v.unknown()),
  overrides: v.record(v.string(), v.unknown()),
  steps: v.union([
    v.number(),
    v.object({ timesteps: v.optional(v.array(v.number())), sigmas: v.optional(v.array(v.number())) }),
  ]),
  begin: v.number(),
  eta: v.nullable(v.number()),
  seed: v.number(),
  timesteps: v.array(v.number()),
  sigmas: v.nullable(v.array(v.number())),
  initNoiseSigma: v.number(),
  half: v.string(),
  final: v.string(),
});
type Case = v.InferOutput<typeof Case>;

const file = new URL('../fixtures/schedulers/schedules.json', import.meta.url);
const { cases } = v.parse(v.object({ cases: v.array(Case) }), JSON.parse(readFileSync(file, 'utf8')));

const SHAPE = [1, 2, 4, 4];

function decode(base64: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);
}

/** Mean squared error over the mean square of what is expected. */
function nmse(actual: Float32Array, expected: Float32Array): number {
  const error = actual.reduce((sum, value, i) => sum + (value - expected[i]) ** 2, 0);
  return error / expected.reduce((sum, value) => sum + value * value, 0);
}

/** Infinity for lists of different lengths. */
function largestDifference(actual: readonly number[], expected: readonly number[]): number {
  if (actual.length !== expected.length) return Infinity;
  return Math.max(0, ...actual.map((value, i) => Math.abs(value - expected[i])));
}

function relativeDifference(actual: readonly number[], expected: readonly number[]): number {
  const scale = expected.map((value) => Math.abs(value) || 1);
  return largestDifference(
    actual.map((value, i) => value / scale[i]),
    expected.map((value, i) => value / scale[i]),
  );
}

/** The stand-in for the network, as in make_schedules.py. */
function model(input: Float32Array, timestep: number): Float32Array {
  const offset = 0.1 * Math.sin(timestep / 100);
  return input.map(
    (value, i) => Math.fround(value * Math.fround(0.8)) + Math.fround(offset + 0.1 * Math.sin(i)),
  );
}

function make({ chain, config, overrides }: Case): WithSigmas {
  const classes: readonly SchedulerClass[] = Object.values(SCHEDULERS);
  const find = (name: string): SchedulerClass | undefined =>
    classes.find(({ className }) => className === name);
  const last = find(chain[chain.length - 1]);
  const record = chain.slice(0, -1).reduce((made, name) => find(name)?.fromConfig(made).config ?? {}, config);
  if (last === undefined) throw new RangeError(`no class ${chain.join()}`);
  return last.fromConfig(record, overrides);
}

function run(scheduler: Scheduler, { begin, eta, seed }: Case): { half: Float32Array; final: Float32Array } {
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
  const steps = scheduler.steps({ beginIndex: begin, ...(eta !== null && { eta }) });
  let half: Float32Array = start;
  steps.forEach((step, i) => {
    const output = model(modelInput(step, state), step.timestep);
    state = applyStep(step, state, output, step.usesNoise ? generator.randn(SHAPE) : undefined);
    if (i === Math.floor(steps.length / 2)) half = state[0];
  });
  return { half, final: state[0] };
}

/**
 * Timesteps agree exactly, but those computed from sigmas: diffusers takes them from NumPy's float32 logarithms, which
 * differ from machine to machine.
 */
function timestepTolerance({ chain, overrides, steps }: Case): number {
  const spacesSigmas = Object.keys(overrides).some((name) => /^use.*Sigmas$/.test(name));
  const fractional = chain.at(-1) === 'EulerDiscreteScheduler' && (spacesSigmas || typeof steps === 'object');
  return fractional ? 1e-4 : 0;
}

/**
 * Rescaled to zero terminal SNR, the last sigma is 4096 and the others hang on differences of nearly equal float32
 * numbers: diffusers' own rounding, which depends on the machine's square root, is larger than ours there.
 */
function tolerance({ config }: Case): { latents: number; sigmas: number } {
  return config.rescale_betas_zero_snr === true
    ? { latents: 1e-8, sigmas: 2e-3 }
    : { latents: 2e-12, sigmas: 1e-6 };
}

describe('schedulers follow diffusers', () => {
  test.each(cases.map((entry, index) => ({ ...entry, index })))(
    '$index: $chain $steps $overrides',
    (entry) => {
      const scheduler = make(entry);
      if (typeof entry.steps === 'number') scheduler.setTimesteps(entry.steps);
      else scheduler.setTimesteps(undefined, entry.steps);
      const { latents, sigmas } = tolerance(entry);

      expect(largestDifference(scheduler.timesteps, entry.timesteps)).toBeLessThanOrEqual(
        timestepTolerance(entry),
      );
      expect(relativeDifference(scheduler.sigmas ?? [], entry.sigmas ?? [])).toBeLessThan(sigmas);
      expect(relativeDifference([scheduler.initNoiseSigma], [entry.initNoiseSigma])).toBeLessThan(sigmas);

      const { half, final } = run(scheduler, entry);
      expect(nmse(half, decode(entry.half))).toBeLessThan(latents);
      expect(nmse(final, decode(entry.final))).toBeLessThan(latents);
    },
  );
});
