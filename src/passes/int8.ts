/**
 * @file Marks the linear layers that may be computed on signed bytes, for targets that were asked to: `int8: 'dynamic'`.
 * Alone among the passes it changes results.
 *
 * Each row of the input is divided by its largest magnitude over 127 when it is there (dynamic, one scale a token), each
 * row of the weight likewise (one scale an output channel); both are rounded to whole numbers, their products are summed
 * without loss, and the sum is scaled back before bias, gate, residual and activation. Of a layer with normal inputs that
 * leaves an NMSE of about 1e-4; op cases are held to 1e-3.
 *
 * Which layers: those of huggingface/diffusion-fast's `dynamic_quant_filter_fn`, which leaves out what was found to be no
 * faster, and of them those that run at every step, since the others cost nothing.
 */

import { valueOf } from '../graph/graph.ts';
import { RATE } from '../graph/rate.ts';
import { rewriteNodes, type Pass } from './pass.ts';
import { rateOfEach } from './split-by-rate.ts';

/** `in>out` channels that diffusion-fast leaves alone. */
const NOT_FASTER = new Set(
  [
    '1280>640 1920>1280 1920>640 2048>1280 2048>2560 2560>1280 256>128 2816>1280 320>640 512>1536',
    '512>256 512>512 640>1280 640>1920 640>320 640>5120 640>640 960>320 960>640',
  ].flatMap((line) => line.split(' ')),
);

/** Narrower layers than those of its list, which is made for SDXL, gain less still: SD1.5 has some of 320 channels. */
const LEAST_CHANNELS = 640;

/** Channels that kernels take at a time: of the input, and of the output with gates. */
const INPUT_STEP = 64;
const OUTPUT_STEP = 16;

export const int8: Pass = {
  name: 'int8',
  summary: 'linear layers on signed bytes, scaled row by row (changes results; only where it was asked for)',
  run(graph, target) {
    if (target.int8 === undefined) return { graph, applied: 0, refused: {} };
    const rates = rateOfEach(graph);
    const weights = new Set(graph.weights.map(({ value }) => value));
    return rewriteNodes(graph, target, (node) => {
      if (node.kind !== 'linear' || node.attrs.int8) return undefined;
      const { weight } = node.inputs;
      const [outputs, inputs] = valueOf(graph, weight).shape.map(Number);
      if (!weights.has(weight)) return 'its matrix is no stored weight';
      if (rates.get(node.output) !== RATE.latent) return 'it does not run at every step';
      if (Math.min(inputs, outputs) < LEAST_CHANNELS || NOT_FASTER.has(`${inputs}>${outputs}`))
        return 'it is no faster in this size';
      if (inputs % INPUT_STEP !== 0 || outputs % OUTPUT_STEP !== 0)
        return `its channels are no multiples of ${INPUT_STEP} and ${OUTPUT_STEP}`;
      return [{ ...node, attrs: { ...node.attrs, int8: true } }];
    });
  },
};
