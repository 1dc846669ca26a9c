/** @file What schedulers do with configurations, options and schedules that are odd or wrong. */
import { describe, expect, test } from 'vitest';
import { ConfigError, OptionError } from '../../src/errors.ts';
import { applyStep, predictOriginal } from '../../src/schedulers/apply-step.ts';
import {
  DDIMScheduler,
  DDPMScheduler,
  DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler,
  HeunDiscreteScheduler,
  KDPM2AncestralDiscreteScheduler,
  LCMScheduler,
  PNDMScheduler,
  SCHEDULERS,
  TCDScheduler,
  UniPCMultistepScheduler,
} from '../../src/schedulers/index.ts';
import {
  forStableDiffusion,
  SCHEDULER_LOADERS,
  type SchedulerClass,
  schedulerFromConfig,
} from '../../src/schedulers/load.ts';
import { denoisingEndCount, denoisingStartIndex, strengthStart } from '../../src/schedulers/start.ts';

/** The error that a call throws. */
function thrown(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('configurations', () => {
  test('the class is chosen by _class_name', async () => {
    expect(await schedulerFromConfig({ _class_name: 'DDIMScheduler' })).toBeInstanceOf(DDIMScheduler);
  });

  test.each([
    ['an unknown class', { _class_name: 'NoScheduler' }, '_class_name'],
    ['no class', {}, '_class_name'],
    ['no object', [], undefined],
    ['a wrong type', { _class_name: 'DDIMScheduler', steps_offset: '1' }, 'steps_offset'],
    ['an unknown choice', { _class_name: 'DDIMScheduler', beta_schedule: 'sigmoid' }, 'beta_schedule'],
    ['a beta of 1', { _class_name: 'DDIMScheduler', beta_end: 1 }, 'beta_end'],
    [
      'too many timesteps',
      { _class_name: 'DDIMScheduler', num_train_timesteps: 1e12 },
      'num_train_timesteps',
    ],
    ['thresholding', { _class_name: 'DDIMScheduler', thresholding: true }, 'thresholding'],
    ['betas of another count', { _class_name: 'DDIMScheduler', trained_betas: [0.1, 0.2] }, 'trained_betas'],
    [
      'a prediction that ancestral steps lack',
      { _class_name: 'EulerAncestralDiscreteScheduler', prediction_type: 'sample' },
      'prediction_type',
    ],
    [
      'flow matching',
      { _class_name: 'DPMSolverMultistepScheduler', prediction_type: 'flow_prediction' },
      'prediction_type',
    ],
    [
      'learned variance',
      { _class_name: 'DPMSolverMultistepScheduler', variance_type: 'learned_range' },
      'variance_type',
    ],
    ['flow sigmas', { _class_name: 'DPMSolverMultistepScheduler', use_flow_sigmas: true }, 'use_flow_sigmas'],
    [
      'dpmsolver down to zero',
      { _class_name: 'DPMSolverMultistepScheduler', algorithm_type: 'dpmsolver' },
      'final_sigmas_type',
    ],
    [
      'the third order of sde-dpmsolver',
      {
        _class_name: 'DPMSolverMultistepScheduler',
        algorithm_type: 'sde-dpmsolver',
        final_sigmas_type: 'sigma_min',
        solver_order: 3,
      },
      'solver_order',
    ],
    ['a learned variance', { _class_name: 'DDPMScheduler', variance_type: 'learned_range' }, 'variance_type'],
    [
      'a variance that is NaN in diffusers',
      { _class_name: 'DDPMScheduler', variance_type: 'fixed_large_log' },
      'variance_type',
    ],
    [
      'PNDM for clean latents',
      { _class_name: 'PNDMScheduler', prediction_type: 'sample' },
      'prediction_type',
    ],
    [
      'KDPM2 for clean latents',
      { _class_name: 'KDPM2DiscreteScheduler', prediction_type: 'sample' },
      'prediction_type',
    ],
    ['a fourth order', { _class_name: 'UniPCMultistepScheduler', solver_order: 4 }, 'solver_order'],
    [
      'a corrector list of words',
      { _class_name: 'UniPCMultistepScheduler', disable_corrector: ['0'] },
      'disable_corrector.0',
    ],
    ['another predictor', { _class_name: 'UniPCMultistepScheduler', solver_p: 'DDIM' }, 'solver_p'],
    [
      'an SDE form of DEIS',
      { _class_name: 'DEISMultistepScheduler', algorithm_type: 'sde-dpmsolver++' },
      'algorithm_type',
    ],
    [
      'sde-dpmsolver in single steps',
      { _class_name: 'DPMSolverSinglestepScheduler', algorithm_type: 'sde-dpmsolver' },
      'algorithm_type',
    ],
    [
      'single dpmsolver steps down to zero',
      { _class_name: 'DPMSolverSinglestepScheduler', algorithm_type: 'dpmsolver' },
      'final_sigmas_type',
    ],
    ['no grid', { _class_name: 'LCMScheduler', original_inference_steps: 0 }, 'original_inference_steps'],
    [
      'two spacings of sigmas for Heun',
      { _class_name: 'HeunDiscreteScheduler', use_exponential_sigmas: true, use_beta_sigmas: true },
      'use_exponential_sigmas',
    ],
    [
      'two spacings of sigmas',
      { _class_name: 'EulerDiscreteScheduler', use_karras_sigmas: true, use_beta_sigmas: true },
      'use_karras_sigmas',
    ],
  ])('%s is a ConfigError that names the field', async (_, config, field) => {
    const made = schedulerFromConfig(config, 'scheduler_config.json');
    await expect(made).rejects.toBeInstanceOf(ConfigError);
    await expect(made).rejects.toMatchObject({ field });
  });

  test('an error names the file', async () => {
    const config = { _class_name: 'DDIMScheduler', clip_sample: 1 };
    await expect(schedulerFromConfig(config, 'model/scheduler_config.json')).rejects.toThrow(
      /^model\/scheduler_config\.json: clip_sample: /,
    );
  });

  test('-Infinity and null are read as Python writes them', () => {
    const config = {
      lambda_min_clipped: -Infinity,
      trained_betas: null,
      variance_type: null,
      use_karras_sigmas: null,
    };
    const scheduler = DPMSolverMultistepScheduler.fromConfig(config);
    expect(scheduler.config.use_karras_sigmas).toBe(false);
  });

  test("another class's entries are kept, its defaults are not", () => {
    const ddim = DDIMScheduler.fromConfig({
      _class_name: 'PNDMScheduler',
      skip_prk_steps: true,
      clip_sample: false,
    });
    expect(ddim.config).toMatchObject({ _class_name: 'DDIMScheduler', timestep_spacing: 'leading' });
    const dpm = DPMSolverMultistepScheduler.fromConfig(ddim.config);
    expect(dpm.config).toMatchObject({
      _class_name: 'DPMSolverMultistepScheduler',
      timestep_spacing: 'linspace',
      skip_prk_steps: true,
      clip_sample: false,
    });
  });

  test('overrides are checked by name and value', () => {
    const unknown = thrown(() =>
      DDIMScheduler.fromConfig({}, Object.fromEntries([['useKarrasSigma', true]])),
    );
    expect(unknown).toBeInstanceOf(OptionError);
    expect(unknown).toMatchObject({ field: 'useKarrasSigma' });
    const wrong = thrown(() => DDIMScheduler.fromConfig({}, { numTrainTimesteps: 0 }));
    expect(wrong).toBeInstanceOf(OptionError);
    expect(wrong).toMatchObject({ field: 'numTrainTimesteps' });
  });

  test('Stable Diffusion pipelines force two settings where the scheduler has them', async () => {
    const file = { _class_name: 'DDIMScheduler', steps_offset: 0 };
    expect(await forStableDiffusion(file)).toEqual({ ...file, steps_offset: 1, clip_sample: false });
    const euler = { _class_name: 'EulerDiscreteScheduler' };
    expect(await forStableDiffusion(euler)).toEqual({ ...euler, steps_offset: 1 });
  });
});

test('those that are loaded later are the same', async () => {
  const loaded = Object.entries(SCHEDULER_LOADERS).map(async ([name, { className, load }]) => {
    const scheduler: SchedulerClass = await load();
    expect(scheduler.className).toBe(className);
    return [name, scheduler];
  });
  expect(Object.fromEntries(await Promise.all(loaded))).toEqual(SCHEDULERS);
});

describe.each(Object.entries<SchedulerClass>(SCHEDULERS))('%s', (_, scheduler) => {
  const { className } = scheduler;

  test('is found by its class name, with the same settings', async () => {
    const made = await schedulerFromConfig({ _class_name: className, steps_offset: 1 });
    expect(made.config).toEqual(scheduler.fromConfig({ steps_offset: 1 }).config);
  });

  test("its configuration makes the same scheduler again, and keeps other classes' entries", () => {
    const made = scheduler.fromConfig({ beta_schedule: 'scaled_linear', some_other_entry: [1] });
    const again = scheduler.fromConfig(made.config);
    expect(again.config).toEqual(made.config);
    expect(again.config.some_other_entry).toEqual([1]);
    expect(again.slots).toBe(made.slots);
  });

  test('refuses unknown options, wrong values and thresholding', () => {
    const override = (name: string, value: unknown) => () =>
      scheduler.fromConfig({}, Object.fromEntries([[name, value]]));
    expect(thrown(override('noSuchOption', 1))).toBeInstanceOf(OptionError);
    expect(thrown(override('betaEnd', 2))).toBeInstanceOf(OptionError);
    expect(thrown(override('trainedBetas', []))).toBeInstanceOf(OptionError);
    expect(thrown(override('thresholding', true))).toBeInstanceOf(OptionError);
    expect(thrown(() => scheduler.fromConfig({ trained_betas: [0.1] }))).toBeInstanceOf(ConfigError);
  });

  test('refuses bad schedules, and steps before there is one', () => {
    const made = scheduler.fromConfig({});
    expect(thrown(() => made.timesteps)).toBeInstanceOf(OptionError);
    expect(thrown(() => made.steps())).toBeInstanceOf(OptionError);
    for (const count of [0, -1, 1.5, Number.NaN, 1001, undefined])
      expect(thrown(() => made.setTimesteps(count))).toBeInstanceOf(OptionError);
    for (const timesteps of [[], [1000, 1], [10, 20], [10, 10], [Number.NaN], [10, -1]])
      expect(thrown(() => made.setTimesteps(undefined, { timesteps }))).toBeInstanceOf(OptionError);
    expect(thrown(() => made.setTimesteps(5, { timesteps: [3, 2] }))).toBeInstanceOf(OptionError);
    expect(thrown(() => made.setTimesteps(undefined, { sigmas: [1, 2] }))).toBeInstanceOf(OptionError);
  });

  test('has finite steps with a coefficient for every slot, one for each timestep', () => {
    const made = scheduler.fromConfig({});
    made.setTimesteps(20);
    const steps = made.steps();
    expect(steps.map((step) => step.timestep)).toEqual(made.timesteps);
    for (const { input, x0, next } of steps) {
      for (const row of [input, x0.state, ...next.state, next.output, next.x0, next.noise])
        expect(row).toHaveLength(made.slots);
      expect(next.state).toHaveLength(made.slots);
    }
  });

  test('begins only where a step begins', () => {
    const made = scheduler.fromConfig({});
    made.setTimesteps(10);
    for (const beginIndex of [-1, made.timesteps.length, 0.5, ...(made.order === 2 ? [1, 3] : [])]) {
      expect(thrown(() => made.steps({ beginIndex }))).toBeInstanceOf(OptionError);
    }
    expect(thrown(() => made.noiseCoefficients(-1))).toBeInstanceOf(OptionError);
    expect(made.steps({ beginIndex: 4 })).toHaveLength(made.timesteps.length - 4);
  });
});

describe('schedules', () => {
  test.each([0, -1, 1.5, Number.NaN, 1001, undefined])('%s steps are refused', (count) => {
    for (const scheduler of [DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler])
      expect(() => scheduler.fromConfig({}).setTimesteps(count)).toThrow(OptionError);
  });

  test('a schedule must be set first', () => {
    const scheduler = EulerDiscreteScheduler.fromConfig({});
    expect(() => scheduler.timesteps).toThrow(OptionError);
    expect(() => scheduler.initNoiseSigma).toThrow(OptionError);
    expect(() => scheduler.steps()).toThrow(OptionError);
  });

  test.each([
    { timesteps: [] },
    { timesteps: [1000, 1] },
    { timesteps: [10, 20] },
    { timesteps: [10, 10] },
    { timesteps: [Number.NaN] },
    { timesteps: [10, -1] },
    { sigmas: [1] },
    { sigmas: [1, 2] },
    { sigmas: [Infinity, 1] },
    { timesteps: [10], sigmas: [2, 1] },
  ])('custom schedule %j is refused', (custom) => {
    expect(() => EulerDiscreteScheduler.fromConfig({}).setTimesteps(undefined, custom)).toThrow(OptionError);
  });

  test('custom schedules are refused where the class takes none', () => {
    const karras = { useKarrasSigmas: true };
    const timesteps = [10, 5];
    expect(() => DDIMScheduler.fromConfig({}).setTimesteps(undefined, { timesteps })).toThrow(OptionError);
    expect(() =>
      EulerDiscreteScheduler.fromConfig({}, karras).setTimesteps(undefined, { timesteps }),
    ).toThrow(OptionError);
    expect(() =>
      DPMSolverMultistepScheduler.fromConfig({}, karras).setTimesteps(undefined, { timesteps }),
    ).toThrow(OptionError);
    expect(() =>
      DPMSolverMultistepScheduler.fromConfig({}).setTimesteps(undefined, { sigmas: [2, 1] }),
    ).toThrow(OptionError);
  });

  test('61 trailing steps are 61 steps', () => {
    for (const made of [EulerDiscreteScheduler, DDPMScheduler, UniPCMultistepScheduler]) {
      const scheduler = made.fromConfig({}, { timestepSpacing: 'trailing' });
      scheduler.setTimesteps(61);
      expect(scheduler.timesteps).toHaveLength(61);
      expect(scheduler.timesteps.at(-1)).toBeGreaterThanOrEqual(0);
    }
  });

  test('Runge-Kutta steps need four steps', () => {
    const scheduler = PNDMScheduler.fromConfig({});
    expect(() => scheduler.setTimesteps(3)).toThrow(OptionError);
    scheduler.setTimesteps(4);
    expect(scheduler.timesteps).toHaveLength(13);
  });

  test('distilled models have as many steps as their grid', () => {
    for (const made of [LCMScheduler, TCDScheduler]) {
      expect(() => made.fromConfig({}).setTimesteps(51)).toThrow(OptionError);
      expect(() => made.fromConfig({}, { originalInferenceSteps: 1001 }).setTimesteps(5)).toThrow(
        OptionError,
      );
      made.fromConfig({}, { originalInferenceSteps: 100 }).setTimesteps(51);
    }
  });

  test('what diffusers makes NaN of is an error', () => {
    for (const options of [
      { solverType: 'bh1' },
      { predictX0: false },
      { lowerOrderFinal: false },
    ] as const) {
      const scheduler = UniPCMultistepScheduler.fromConfig({}, options);
      scheduler.setTimesteps(10);
      expect(() => scheduler.steps()).toThrow(ConfigError);
    }
  });

  test('ancestral KDPM2 steps are finite however long they are', () => {
    const scheduler = KDPM2AncestralDiscreteScheduler.fromConfig({ beta_schedule: 'squaredcos_cap_v2' });
    scheduler.setTimesteps(4);
    expect(scheduler.timesteps.every(Number.isFinite)).toBe(true);
    expect(scheduler.steps()).toHaveLength(7);
  });

  test('the first timestep must be one of training', () => {
    const scheduler = DDIMScheduler.fromConfig({ steps_offset: 1 });
    expect(() => scheduler.setTimesteps(1000)).toThrow(OptionError);
  });

  test('settings that divide by zero are refused rather than giving NaN', () => {
    const scheduler = DDIMScheduler.fromConfig({
      rescale_betas_zero_snr: true,
      timestep_spacing: 'trailing',
      prediction_type: 'epsilon',
      clip_sample: false,
    });
    scheduler.setTimesteps(10);
    expect(() => scheduler.steps()).toThrow(ConfigError);
  });

  test('what a run does not come to may divide by zero', () => {
    const scheduler = UniPCMultistepScheduler.fromConfig({ predict_x0: false });
    scheduler.setTimesteps(10);
    expect(() => scheduler.steps()).toThrow(ConfigError);
    expect(scheduler.steps({ beginIndex: 2, count: 5 })).toHaveLength(5);
  });

  test.each([-0.1, 1.1, Number.NaN])('eta %d is refused', (eta) => {
    const scheduler = DDIMScheduler.fromConfig({});
    scheduler.setTimesteps(10);
    expect(() => scheduler.steps({ eta })).toThrow(OptionError);
  });

  test.each([-1, 10, 0.5])('begin index %d is refused', (beginIndex) => {
    const scheduler = DDIMScheduler.fromConfig({});
    scheduler.setTimesteps(10);
    expect(() => scheduler.steps({ beginIndex })).toThrow(OptionError);
    expect(() => scheduler.noiseCoefficients(beginIndex)).toThrow(OptionError);
  });
});

describe('steps', () => {
  test('noise is drawn as often as diffusers draws it', () => {
    const ddim = DDIMScheduler.fromConfig({});
    const ancestral = EulerAncestralDiscreteScheduler.fromConfig({});
    const sde = DPMSolverMultistepScheduler.fromConfig({}, { algorithmType: 'sde-dpmsolver++' });
    const tcd = TCDScheduler.fromConfig({});
    const others = [LCMScheduler, KDPM2AncestralDiscreteScheduler, DDPMScheduler].map((made) =>
      made.fromConfig({}),
    );
    for (const scheduler of [ddim, ancestral, sde, tcd, ...others]) scheduler.setTimesteps(4);
    const draws = (steps: readonly { usesNoise: boolean }[]): number =>
      steps.filter((step) => step.usesNoise).length;
    expect(draws(ddim.steps())).toBe(0);
    expect(draws(ddim.steps({ eta: 0.1 }))).toBe(4);
    expect(draws(ancestral.steps())).toBe(4);
    expect(draws(sde.steps())).toBe(4);
    expect(draws(tcd.steps())).toBe(0);
    expect(draws(tcd.steps({ eta: 0.3 }))).toBe(3);
    expect(others.map((scheduler) => draws(scheduler.steps()))).toEqual([3, 3, 3]);
  });

  test('eta is a share where it counts', () => {
    const tcd = TCDScheduler.fromConfig({});
    tcd.setTimesteps(4);
    expect(() => tcd.steps({ eta: 1.5 })).toThrow(OptionError);
  });

  test('the prediction is clipped, and the step goes on from it', () => {
    const step = {
      timestep: 1,
      input: [1, 0],
      x0: { state: [1, 0], output: 2, clip: 3 },
      next: {
        state: [
          [0, 0.5],
          [1, 0],
        ],
        output: [0, 0],
        x0: [1, 0],
        noise: [10, 0],
      },
      usesNoise: true,
    };
    const state = [Float32Array.of(1, -4), Float32Array.of(2, 2)];
    const output = Float32Array.of(0.5, -1);
    expect(predictOriginal(step, state, output)).toEqual(Float32Array.of(2, -3));
    expect(applyStep(step, state, output, Float32Array.of(0.1, 0))).toEqual([
      Float32Array.of(4, -2),
      Float32Array.of(1, -4),
    ]);
  });
});

describe('parts of a schedule', () => {
  const euler = EulerDiscreteScheduler.fromConfig({}, { timestepSpacing: 'trailing' });
  euler.setTimesteps(10);
  const heun = HeunDiscreteScheduler.fromConfig({}, { timestepSpacing: 'trailing' });
  heun.setTimesteps(10);

  test('what one run leaves another takes over', () => {
    expect(denoisingEndCount(euler, 0.8)).toBe(8);
    expect(denoisingStartIndex(euler, 0.8)).toBe(8);
    expect(denoisingEndCount(heun, 1)).toBe(19);
    expect(denoisingStartIndex(heun, 0)).toBe(0);
  });

  test.each([-0.1, 1.1, Number.NaN])('%d is no share', (share) => {
    expect(() => strengthStart(euler, 10, share)).toThrow(OptionError);
    expect(() => denoisingStartIndex(euler, share)).toThrow(OptionError);
    expect(() => denoisingEndCount(euler, share)).toThrow(OptionError);
  });

  test('nothing left to do is an error', () => {
    expect(() => strengthStart(euler, 10, 0.05)).toThrow(OptionError);
    expect(() => denoisingStartIndex(euler, 1)).toThrow(OptionError);
    expect(() => denoisingEndCount(euler, 0)).toThrow(OptionError);
  });
});
