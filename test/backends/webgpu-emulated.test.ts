/**
 * @file Kernels for subgroup matrices, held to the reference on emulated GPUs, since no software adapter has matrices. The
 * cases reach what these kernels alone have: ragged tiles, gates, split sums, every epilogue, padded heads, fused projections.
 */

import { describe, expect, test } from 'vitest';
import type { Backend } from '../../src/backends/backend.ts';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { webgpu } from '../../src/backends/webgpu/webgpu.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { caseGraph, type OpCase } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';
import { computeCase } from '../support/compute-case.ts';
import { EMULATED_ADAPTERS } from '../support/emulated-adapters.ts';
import { emulatedGpu, type EmulatedGpu } from '../support/emulated-gpu.ts';
import { nmse } from '../support/nmse.ts';

const reference = createReferenceBackend();

async function open(gpu: EmulatedGpu): Promise<Backend> {
  const opened = await webgpu({ gpu: emulatedGpu(gpu), autotune: false }).open();
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
  return nmse(await computeCase(await open(gpu), dtype, testCase), expected);
}

const MATRIX_CASES = [
  'linear/1 row',
  'linear/154 rows, quick_gelu (CLIP)',
  'linear/residual then silu',
  'linear/geglu',
  'linear/deep sum, K = 2560',
  'linear/int8, residual',
  'linear/int8, geglu',
  'conv2d/two sources with everything',
  'conv2d/two sources, 96 + 48',
  'conv2d/rows by index',
  'conv2d/320 to 4 channels (conv_out)',
  'conv2d/stride 2, asymmetric padding',
  'conv2d/upsample',
  'attention/head of 40',
  'attention/head of 160',
  'attention/one token',
  'attention/odd tokens',
  'attention/fused QKV, odd tokens',
  'attention/cross, 154 keys',
];

const MATRIX_GPUS = [['matrices 16x16x16 (NVIDIA)', 'f16']] as const;

describe.each(MATRIX_GPUS)('%s, %s', (name, dtype) => {
  const gpu = EMULATED_ADAPTERS[name];

  test.each(MATRIX_CASES)('%s', async (caseName) => {
    const testCase = caseNamed(caseName);
    const [dispatch] = layOutGraph(caseGraph(testCase), (await open(gpu)).target(dtype)).dispatches;
    expect(dispatch.kernel).toMatch(caseName.includes('int8') ? /^gemm-int8-matrix$/ : /-matrix$/);
    expect(await errorOf(testCase, dtype, gpu)).toBeLessThanOrEqual(testCase.nmse[dtype]);
  });
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

  test('a column of matrices is never multiplied', async () => {
    const lost = broken(
      'conv2d/rows by index',
      'sum1_1 = subgroupMatrixMultiplyAccumulate(a1, b1, sum1_1);',
      '',
    );
    expect(await lost).toBeGreaterThan(1e-2);
  });

  test('a barrier is missing', async () => {
    const raced = broken('linear/residual then silu', 'workgroupBarrier();', '');
    await expect(raced).rejects.toThrow(/a data race/);
    const weighed = /if \(!careful\) \{\s*workgroupBarrier\(\);/;
    const late = broken('attention/odd tokens', weighed, 'if (!careful) {');
    await expect(late).rejects.toThrow(/a data race/);
  });

  test('a tile is read beyond its end', async () => {
    const beyond = broken('linear/residual then silu', 'rowOffset + 16u * 1u', 'rowOffset + 1600u');
    await expect(beyond).rejects.toThrow(/reads .* of tile/);
  });

  test('lanes of a subgroup ask for different matrices', async () => {
    const torn = broken('linear/residual then silu', '(&tile, (rowOffset', '(&tile, (lane % 2u + rowOffset');
    await expect(torn).rejects.toThrow(/do not agree/);
  });

  test('matrices are used that the device does not have', async () => {
    const { matrices: _, ...without } = gpu;
    const other = { ...without, matrices: [{ ...gpu.matrices[0], resultComponentType: 'f16' }] };
    const traits = { subgroupMatrix: true };
    const opened = await webgpu({ gpu: emulatedGpu(other), traits, autotune: false }).open();
    if ('reason' in opened) throw new Error(opened.reason);
    await expect(computeCase(opened, 'f16', caseNamed('linear/1 row'))).rejects.toThrow(/has no matrices of/);
  });
});
