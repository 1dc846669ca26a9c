/** @file Ops around the network: modelInput, timestepEmbedding, guidance, guidanceFactor, schedulerStep, guidedStep. */

import { coefficientColumns, timestepFrequencies } from 'calotype/backend-kit';
import { defineCudaKernel, elementCount, elementOf, type CudaContext, type NodesOf } from '../kernel.ts';
import { defineLaunch, type ArgumentsOf } from '../launch.ts';

/** The struct CoefficientColumns. */
const COLUMNS = {
  guidanceScale: 'i32',
  guidanceRescale: 'i32',
  input: 'i32',
  x0State: 'i32',
  x0Output: 'i32',
  clip: 'i32',
  nextState: 'i32',
  nextOutput: 'i32',
  nextX0: 'i32',
  nextNoise: 'i32',
  count: 'i32',
} as const;

export const modelInputLaunch = defineLaunch('model_input', {
  state: 'pointer',
  coefficients: 'pointer',
  row: 'pointer',
  y: 'pointer',
  slotElements: 'i64',
  rowElements: 'i64',
  slots: 'i32',
  copies: 'i32',
  tableRows: 'i32',
  ...COLUMNS,
  element: 'i32',
});

export const timestepEmbeddingLaunch = defineLaunch('timestep_embedding', {
  t: 'pointer',
  frequencies: 'pointer',
  y: 'pointer',
  count: 'i32',
  halfChannels: 'i32',
  cosinesFirst: 'i32',
  element: 'i32',
});

export const guidanceFactorLaunch = defineLaunch('guidance_factor', {
  output: 'pointer',
  coefficients: 'pointer',
  row: 'pointer',
  y: 'pointer',
  imageElements: 'i64',
  images: 'i32',
  tableRows: 'i32',
  ...COLUMNS,
  element: 'i32',
});

export const guidanceLaunch = defineLaunch('guidance', {
  output: 'pointer',
  coefficients: 'pointer',
  row: 'pointer',
  factor: 'pointer',
  y: 'pointer',
  imageElements: 'i64',
  images: 'i32',
  tableRows: 'i32',
  ...COLUMNS,
  element: 'i32',
});

export const guidedStepLaunch = defineLaunch('guided_step', {
  state: 'pointer',
  output: 'pointer',
  factor: 'pointer',
  noise: 'pointer',
  coefficients: 'pointer',
  row: 'pointer',
  y: 'pointer',
  slotElements: 'i64',
  rowElements: 'i64',
  slots: 'i32',
  guided: 'i32',
  tableRows: 'i32',
  ...COLUMNS,
  element: 'i32',
});

/** Most state slots of a scheduler that kernels/sampling.cu takes. */
const MAX_SLOTS = 16;

type TableNode = NodesOf<'modelInput' | 'guidance' | 'guidanceFactor' | 'schedulerStep' | 'guidedStep'>;

/** The coefficient table: its rows, and where the parts of a row begin. */
function tableOf(
  node: TableNode,
  slots: number,
  context: CudaContext,
): ArgumentsOf<typeof COLUMNS> & { readonly tableRows: number } {
  const [tableRows] = context.shapeOf(node.inputs.coefficients);
  return { tableRows, ...coefficientColumns(slots) };
}

/** Elements of a slot of the state, and of what shares an entry of `row`. */
function stateSize(
  node: NodesOf<'modelInput' | 'schedulerStep' | 'guidedStep'>,
  context: CudaContext,
): { slotElements: number; rowElements: number } {
  const slotElements = elementCount(context.shapeOf(node.inputs.state)) / node.attrs.slots;
  return { slotElements, rowElements: slotElements / elementCount(context.shapeOf(node.inputs.row)) };
}

const TABLE = { coefficients: 'coefficients', row: 'row' } as const;

export const modelInput = defineCudaKernel({
  id: 'model-input',
  ops: ['modelInput'],
  otherTypes: ['state', 'coefficients'],
  launches(node, context) {
    const { slots, copies } = node.attrs;
    const sizes = { ...stateSize(node, context), ...tableOf(node, slots, context) };
    const element = elementOf(context, node.output);
    return [modelInputLaunch.with({ state: 'state', ...TABLE, y: 'y', slots, copies, ...sizes, element })];
  },
});

export const timestepEmbedding = defineCudaKernel({
  id: 'timestep-embedding',
  ops: ['timestepEmbedding'],
  otherTypes: ['t'],
  launches: (node, context) => [
    timestepEmbeddingLaunch.with({
      t: 't',
      frequencies: { data: timestepFrequencies(node.attrs) },
      y: 'y',
      count: elementCount(context.shapeOf(node.inputs.t)),
      halfChannels: node.attrs.channels / 2,
      cosinesFirst: node.attrs.flipSinToCos ? 1 : 0,
      element: elementOf(context, node.output),
    }),
  ],
});

/** The launch that writes guidance rescale's factors to an operand. */
function factorLaunch(node: NodesOf<'guidance' | 'guidanceFactor'>, y: string, context: CudaContext) {
  return guidanceFactorLaunch.with({ output: 'output', ...TABLE, y, ...guidedSizes(node, context) });
}

function guidedSizes(node: NodesOf<'guidance' | 'guidanceFactor'>, context: CudaContext) {
  const { output, row } = node.inputs;
  const images = elementCount(context.shapeOf(row));
  const imageElements = elementCount(context.shapeOf(output)) / (2 * images);
  return { images, imageElements, ...tableOf(node, 1, context), element: elementOf(context, output) };
}

export const guidance = defineCudaKernel({
  id: 'guidance',
  ops: ['guidance', 'guidanceFactor'],
  otherTypes: ['output'],
  scratchBytes: (node, context) =>
    node.kind === 'guidance' && node.attrs.rescale
      ? [4 * elementCount(context.shapeOf(node.inputs.row))]
      : [],
  launches(node, context) {
    if (node.kind === 'guidanceFactor') return [factorLaunch(node, 'y', context)];
    const { rescale } = node.attrs;
    const sizes = guidedSizes(node, context);
    const factor = rescale ? 'scratch0' : 'none';
    return [
      ...(rescale ? [factorLaunch(node, 'scratch0', context)] : []),
      guidanceLaunch.with({ output: 'output', ...TABLE, factor, y: 'y', ...sizes }),
    ];
  },
});

export const guidedStep = defineCudaKernel({
  id: 'guided-step',
  ops: ['guidedStep', 'schedulerStep'],
  otherTypes: ['output'],
  inPlace: () => 'state',
  supports: (node) => node.attrs.slots <= MAX_SLOTS,
  launches(node, context) {
    const { slots } = node.attrs;
    return [
      guidedStepLaunch.with({
        state: 'state',
        output: 'output',
        factor: 'factor',
        noise: 'noise',
        ...TABLE,
        y: 'y',
        slots,
        guided: node.kind === 'guidedStep' ? 1 : 0,
        ...stateSize(node, context),
        ...tableOf(node, slots, context),
        element: elementOf(context, node.inputs.output),
      }),
    ];
  },
});
