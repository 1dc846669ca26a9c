/** @file What schedulers do with configurations, options and schedules that are odd or wrong. */
import { describe, expect, test } from 'vitest';
import { ConfigError, OptionError } from '../../src/errors.ts';
import { applyStep, predictOriginal } from '../../src/schedulers/apply-step.ts';
import { DDIMScheduler } from '../../src/schedulers/ddim.ts';
import { DPMSolverMultistepScheduler } from '../../src/schedulers/dpm-solver-multistep.ts';
import { EulerAncestralDiscreteScheduler } from '../../src/schedulers/euler-ancestral-discrete.ts';
import { EulerDiscreteScheduler } from '../../src/schedulers/euler-discrete.ts';
import { forStableDiffusion, schedulerFromConfig } from '../../src/schedulers/index.ts';

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
  test('the class is chosen by _class_name', () => {
    expect(schedulerFromConfig({ _class_name: 'DDIMScheduler' })).toBeInstanceOf(DDIMScheduler);
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
    [
      'two spacings of sigmas',
      { _class_name: 'EulerDiscreteScheduler', use_karras_sigmas: true, use_beta_sigmas: true },
      'use_karras_sigmas',
    ],
  ])('%s is a ConfigError that names the field', (_, config, field) => {
    const error = thrown(() => schedulerFromConfig(config, 'scheduler_config.json'));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ field });
  });

  test('an error names the file', () => {
    const config = { _class_name: 'DDIMScheduler', clip_sample: 1 };
    expect(() => schedulerFromConfig(config, 'model/scheduler_config.json')).toThrow(
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

  test('Stable Diffusion pipelines force two settings where the scheduler has them', () => {
    const file = { _class_name: 'DDIMScheduler', steps_offset: 0 };
    expect(forStableDiffusion(file)).toEqual({ ...file, steps_offset: 1, clip_sample: false });
    const euler = { _class_name: 'EulerDiscreteScheduler' };
    expect(forStableDiffusion(euler)).toEqual({ ...euler, steps_offset: 1 });
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
    const scheduler = EulerDiscreteScheduler.fromConfig({}, { timestepSpacing: 'trailing' });
    scheduler.setTimesteps(61);
    expect(scheduler.timesteps).toHaveLength(61);
    expect(scheduler.timesteps.at(-1)).toBeGreaterThanOrEqual(0);
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
    });
    scheduler.setTimesteps(10);
    expect(() => scheduler.steps()).toThrow(ConfigError);
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
    for (const scheduler of [ddim, ancestral, sde]) scheduler.setTimesteps(4);
    const draws = (steps: readonly { usesNoise: boolean }[]): number =>
      steps.filter((step) => step.usesNoise).length;
    expect(draws(ddim.steps())).toBe(0);
    expect(draws(ddim.steps({ eta: 0.1 }))).toBe(4);
    expect(draws(ancestral.steps())).toBe(4);
    expect(draws(sde.steps())).toBe(4);
  });

  test('every slot has its coefficients', () => {
    const scheduler = DPMSolverMultistepScheduler.fromConfig({}, { solverOrder: 3 });
    scheduler.setTimesteps(20);
    expect(scheduler.slots).toBe(3);
    for (const { input, x0, next } of scheduler.steps()) {
      for (const row of [input, x0.state, ...next.state, next.output, next.x0, next.noise])
        expect(row).toHaveLength(3);
      expect(next.state).toHaveLength(3);
    }
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
