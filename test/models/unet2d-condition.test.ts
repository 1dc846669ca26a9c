/** @file UNet2DConditionModel: sizes of odd levels, and inputs that do not fit the config. */

import { describe, expect, it } from 'vitest';
import { GraphError } from '../../src/errors.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import { bindGraph } from '../../src/graph/graph.ts';
import { parseUNet2DConditionConfig } from '../../src/loaders/configs/unet.ts';
import { buildUNet2DCondition, unet2DCondition } from '../../src/models/unet2d-condition.ts';
import { readJson } from './fixtures.ts';

const configOf = (model: string) =>
  parseUNet2DConditionConfig(readJson(`configs/${model}/unet/config.json`), { file: 'config.json' });

/** A builder with the inputs that every UNet of this width reads. */
function withInputs(textChannels: number) {
  const b = new GraphBuilder('test');
  return {
    b,
    inputs: {
      sample: b.input('sample', [1, 16, 16, 4], 'float', 'latent'),
      timestep: b.input('timestep', [1], 'f32', 'step'),
      encoderHiddenStates: b.input('encoder_hidden_states', [1, 77, textChannels], 'float', 'prompt'),
    },
  };
}

describe('unet2DCondition', () => {
  it('resizes to the sizes of the levels above, odd ones too', () => {
    const graph = bindGraph(buildUNet2DCondition(configOf('sd15')), {
      batch: 1,
      height: 37,
      width: 50,
      tokens: 77,
    });
    const sizes = graph.nodes.flatMap((node) => (node.kind === 'upsampleNearest' ? [node.attrs] : []));
    expect(sizes).toEqual([
      { height: 10, width: 13 },
      { height: 19, width: 25 },
      { height: 37, width: 50 },
    ]);
  });

  it('refuses to leave out the conditions that a config asks for', () => {
    const { b, inputs } = withInputs(2048);
    expect(() => unet2DCondition(b, configOf('sdxl-base-1.0'), inputs)).toThrow(GraphError);
  });

  it('refuses a guidance embedding that the config does not ask for', () => {
    const { b, inputs } = withInputs(768);
    const timestepCond = b.input('timestep_cond', [1, 256], 'float', 'prompt');
    expect(() => unet2DCondition(b, configOf('sd15'), { ...inputs, timestepCond })).toThrow(GraphError);
    expect(() => unet2DCondition(b, configOf('lcm-sd15'), inputs)).toThrow(/timestepCond/);
  });
});
