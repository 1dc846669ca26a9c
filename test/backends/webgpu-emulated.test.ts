/**
 * @file Kernels for subgroup matrices, held to the reference on emulated GPUs, since no software adapter has matrices. The
 * cases reach what these kernels alone have: ragged tiles, gates, split sums, every epilogue, padded heads, fused projections.
 */

import { describe, expect, test } from 'vitest';
import type { Backend } from '../../src/backends/backend.ts';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { webgpu } from '../../src/backends/webgpu/webgpu.ts';
import { MATRIX_SHAPES } from '../../src/kernels/matrix-shape.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { caseGraph, type OpCase } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';
import { computeCase } from '../support/compute-case.ts';
import { EMULATED_ADAPTERS } from '../support/emulated-adapters.ts';
import { emulatedGpu, type EmulatedGpu } from '../support/emulated-gpu.ts';
import { nmse } from '../support/nmse.ts';

const reference = createReferenceBackend();

const F16 = { componentType: 'f16', resultComponentType: 'f32', M: 16, N: 16, K: 16 };

/** @param name of a case; those on bytes need their kernels */
async function open(gpu: EmulatedGpu, name = ''): Promise<Backend> {
  const opened = await webgpu({
    gpu: emulatedGpu(gpu),
    autotune: false,
    submitMs: Infinity,
    ...(name.includes('int8') && { int8: 'dynamic' }),
  }).open();
  if ('reason' in opened) throw new Error(opened.reason);
  return opened;
}

function caseNamed(name: string): OpCase {
  const found = TEST_CASES.find((testCase) => testCase.name === name);
  if (!found) throw new RangeError(`no case ${name}`);
  return found;
}

/** NMSE of a case on a GPU against the reference. */
async function errorOf(testCase: OpCase, dtype: 'f32' | 'f16', gpu: EmulatedGpu): Promise<number> {
  const expected = await computeCase(reference, 'f32', testCase);
  return nmse(await computeCase(await open(gpu, testCase.name), dtype, testCase), expected);
}

/** Cases for every kind of matrix. */
const MATRIX_CASES = [
  'linear/residual then silu',
  'linear/geglu, 1 row, without bias',
  'linear/deep sum, K = 2560',
  'conv2d/two sources with everything',
  'conv2d/rows by index',
  'attention/head of 72',
  'attention/fused QKV, odd tokens',
  'attention/head of 200, steep',
];

/** Further ones for the kind that is used most, which has matrices of bytes too. */
const MORE_CASES = [
  'linear/int8, residual',
  'linear/int8, geglu',
  'linear/1 row',
  'linear/154 rows, quick_gelu (CLIP)',
  'linear/geglu',
  'conv2d/two sources, 96 + 48',
  'conv2d/320 to 4 channels (conv_out)',
  'conv2d/64 to 3 channels (decoder out)',
  'conv2d/stride 2, asymmetric padding',
  'conv2d/upsample',
  'conv2d/negative padding (a band of a larger image)',
  'attention/head of 8',
  'attention/head of 40',
  'attention/head of 160',
  'attention/one token',
  'attention/cross, 154 keys',
  'attention/head of 24, steep',
  'attention/head of 512',
  'groupNorm/10 channels a group',
  'groupNorm/two sources',
  'groupNorm/64 channels a group, many pixels',
];

const MATRIX_GPUS = [
  ['matrices 16x16x16 (NVIDIA)', 'f16', [...MATRIX_CASES, ...MORE_CASES]],
  ['matrices 8x8x8 of f32 (Apple)', 'f16', MATRIX_CASES],
  ['matrices 8x8x8 of f32 (Apple)', 'f32', MATRIX_CASES],
  ['matrices 8x8x8 of f16', 'f16', MATRIX_CASES],
  ['matrices 8x16x16, 16 lanes (Intel)', 'f16', MATRIX_CASES],
  ['matrices 8x16x16, 8 lanes (Intel)', 'f16', ['conv2d/rows by index', 'attention/head of 72']],
  ['matrices 8x16x16, 32 lanes (Intel)', 'f16', ['conv2d/rows by index', 'attention/head of 72']],
] as const;

describe.each(MATRIX_GPUS)('%s, %s', (name, dtype, cases) => {
  const gpu = EMULATED_ADAPTERS[name];

  test.each(cases)('%s', async (caseName) => {
    const testCase = caseNamed(caseName);
    const [dispatch] = layOutGraph(caseGraph(testCase), (await open(gpu, caseName)).target(dtype)).dispatches;
    expect(dispatch.kernel).toMatch(
      caseName.includes('int8') ? /^gemm-int8-matrix$/ : /-(matrix|wide|whole)$/,
    );
    expect(await errorOf(testCase, dtype, gpu)).toBeLessThanOrEqual(testCase.nmse[dtype]);
  });
});

test.each([
  ['sums of halves alone', { ...F16, resultComponentType: 'f16' }, 32],
  ['a shape that no kernel is written for', { ...F16, N: 8 }, 32],
  ['subgroups of up to 64 lanes', F16, 64],
])('matrices are left alone: %s', async (_why, config, most) => {
  const on = await open({
    vendor: 'amd',
    f16: true,
    subgroups: { least: 32, most, size: 32 },
    matrices: [config],
  });
  for (const name of MATRIX_CASES)
    for (const { kernel } of layOutGraph(caseGraph(caseNamed(name)), on.target('f16')).dispatches)
      expect(kernel).not.toMatch(/-matrix$/);
});

test.each(['linear/residual then silu', 'conv2d/bias, rows and residual'])(
  'halves are multiplied where sums are in f32: %s',
  async (name) => {
    const testCase = { ...caseNamed(name), wide: true };
    const gpu = EMULATED_ADAPTERS['matrices 16x16x16 (NVIDIA)'];
    const { dispatches, values } = layOutGraph(caseGraph(testCase), (await open(gpu)).target('f16'));
    expect(dispatches.map(({ kernel }) => kernel)).toEqual(['gemm-matrix']);
    expect(values.get(dispatches[0].node.output)?.dtype).toBe('f32');
    expect(await errorOf(testCase, 'f16', gpu)).toBeLessThanOrEqual(1e-6);
  },
);

test('groups of subgroups add up what each multiplied', async () => {
  let grouped = false;
  const edit = (code: string): string => {
    grouped ||= code.includes('GROUPS: u32 = 2u');
    return code;
  };
  const on = await open({ ...EMULATED_ADAPTERS['matrices 16x16x16 (NVIDIA)'], edit });
  const target = on.target('f16');
  const forced = {
    target: () => ({
      ...target,
      select: (...args: Parameters<typeof target.select>) => ({
        ...target.select(...args),
        scratchBytes: [],
        variant: '2x5 2x2 4 g2 k1',
      }),
    }),
    createWeights: (reader: Parameters<Backend['createWeights']>[0]) => on.createWeights(reader),
    compile: (...args: Parameters<Backend['compile']>) => on.compile(...args),
  };
  const testCase = caseNamed('linear/residual then silu');
  const expected = await computeCase(reference, 'f32', testCase);
  const error = nmse(await computeCase(forced, 'f16', testCase), expected);
  expect(error).toBeLessThanOrEqual(testCase.nmse.f16);
  expect(grouped).toBe(true);
});

describe('a broken kernel is found:', () => {
  const gpu = EMULATED_ADAPTERS['matrices 16x16x16 (NVIDIA)'];
  const broken = (caseName: string, from: string | RegExp, to: string): Promise<number> => {
    const edit = (code: string): string => {
      const edited = code.replace(from, to);
      if (code.includes('subgroupMatrixLoad') && edited === code)
        throw new RangeError(`no ${String(from)} in it`);
      return edited;
    };
    return errorOf(caseNamed(caseName), 'f16', { ...gpu, edit });
  };

  test('a matrix is never multiplied', async () => {
    const lost = broken('conv2d/rows by index', /sum0_0=subgroupMatrixMultiplyAccumulate\([^)]*\);/, '');
    expect(await lost).toBeGreaterThan(1e-2);
  });

  test('a barrier is missing', async () => {
    const raced = broken('linear/residual then silu', 'workgroupBarrier();', '');
    await expect(raced).rejects.toThrow(/a data race/);
    const weighed = /workgroupBarrier\(\);(\s*if\(working\)\{\s*let weight0=)/;
    const late = broken('attention/odd tokens', weighed, '$1');
    await expect(late).rejects.toThrow(/a data race/);
  });

  test('sums stay as they were when their reference is raised', async () => {
    const stale = broken('attention/head of 200, steep', 'factors[row]=fade;', 'factors[row]=1.0;');
    expect(await stale).toBeGreaterThan(1e-2);
  });

  test('a tile is read beyond its end', async () => {
    const beyond = broken('linear/residual then silu', 'rowOffset+M*1u', 'rowOffset+1600u');
    await expect(beyond).rejects.toThrow(/reads .* of tile/);
  });

  test('lanes of a subgroup ask for different matrices', async () => {
    const torn = broken('linear/residual then silu', '(&tile,(rowOffset', '(&tile,(lane%2u+rowOffset');
    await expect(torn).rejects.toThrow(/do not agree/);
  });

  test('matrices are used that the device does not have', async () => {
    const { matrices: _, ...without } = gpu;
    const other = { ...without, matrices: [{ ...gpu.matrices[0], resultComponentType: 'f16' }] };
    const traits = { subgroupMatrices: MATRIX_SHAPES.slice(0, 1) };
    const opened = await webgpu({
      gpu: emulatedGpu(other),
      traits,
      autotune: false,
      submitMs: Infinity,
    }).open();
    if ('reason' in opened) throw new Error(opened.reason);
    await expect(computeCase(opened, 'f16', caseNamed('linear/1 row'))).rejects.toThrow(/has no matrices of/);
  });
});
