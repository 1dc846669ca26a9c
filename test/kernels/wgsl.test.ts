/**
 * @file Every variant of every shader, validated by Dawn's own WGSL compiler on its null backend, which needs no
 * adapter and computes nothing. This is the only place where f16 and subgroup matrix variants are always checked.
 */

import { create } from 'webgpu';
import { beforeAll, describe, expect, test } from 'vitest';
import { shaderOfPart } from '../../src/backends/webgpu/launch-parts.ts';
import { contextOf } from '../../src/backends/webgpu/target.ts';
import { KERNEL_IDS, shaderOf } from '../../src/kernels/index.ts';
import type { DeviceTraits, Kernel } from '../../src/kernels/kernel.ts';
import type { Shader } from '../../src/kernels/wgsl.ts';
import { MATRIX_SHAPES } from '../../src/kernels/matrix-shape.ts';
import { deviceTypes } from '../../src/plan/planner.ts';
import { caseGraph, type OpCase } from '../cases/case.ts';
import { BENCH_CASES, TEST_CASES } from '../cases/index.ts';
import { ALL_KERNELS } from '../support/kernels.ts';
import { PLAIN_TRAITS } from '../support/plain-traits.ts';

const MULTIPLIED = ['conv2d', 'linear', 'attention'];

/** The kinds of device that variants exist for. */
const DEVICES: readonly {
  readonly name: string;
  readonly dtype: 'f32' | 'f16';
  /** Default `dtype`. */
  readonly weightDtype?: 'f16';
  readonly traits: DeviceTraits;
  /** Kinds of nodes whose shaders are its own, if not all are. */
  readonly kinds?: readonly string[];
}[] = [
  { name: 'software, f32', dtype: 'f32', traits: { ...PLAIN_TRAITS, software: true, subgroupSize: 4 } },
  { name: 'f32', dtype: 'f32', traits: PLAIN_TRAITS },
  { name: 'f32, weights in halves', dtype: 'f32', weightDtype: 'f16', traits: PLAIN_TRAITS },
  {
    name: 'software, f32, weights in halves',
    dtype: 'f32',
    weightDtype: 'f16',
    traits: { ...PLAIN_TRAITS, software: true, subgroupSize: 4 },
  },
  { name: 'f16', dtype: 'f16', traits: { ...PLAIN_TRAITS, f16: true } },
  {
    name: 'f16, small workgroup memory',
    dtype: 'f16',
    traits: { ...PLAIN_TRAITS, f16: true, maxWorkgroupStorageBytes: 16384 },
  },
  { name: 'f16, 32 lanes', dtype: 'f16', traits: { ...PLAIN_TRAITS, f16: true, subgroupSize: 32 } },
  ...MATRIX_SHAPES.map(
    (matrix, i) =>
      ({
        name: `${matrix.elements}, subgroup matrices of ${matrix.rows}x${matrix.columns}x${matrix.depth}`,
        dtype: matrix.elements === 'f32' ? 'f32' : 'f16',
        traits: {
          ...PLAIN_TRAITS,
          f16: true,
          // Intel's subgroups have different sizes.
          subgroupSize: matrix.rows === matrix.columns ? 32 : 0,
          largestSubgroup: 32,
          subgroupMatrices: [matrix],
          int8Matrix: i === 0,
          maxWorkgroupStorageBytes: i === 0 ? 49152 : 32768,
        },
      }) as const,
  ),
  {
    name: 'f16, subgroup matrices of f32',
    dtype: 'f16',
    traits: {
      ...PLAIN_TRAITS,
      f16: true,
      subgroupSize: 32,
      largestSubgroup: 32,
      subgroupMatrices: MATRIX_SHAPES.filter(({ elements }) => elements === 'f32'),
    },
    kinds: MULTIPLIED,
  },
];

// The GPU object must stay referenced for as long as its device is used.
const gpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
let device: GPUDevice;
const used = new Set<Kernel>();

beforeAll(async () => {
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error('Dawn has no null backend');
  device = await adapter.requestDevice({
    requiredFeatures: [...adapter.features].filter((name): name is GPUFeatureName =>
      /^(shader-f16|subgroups|chromium-experimental-subgroup-matrix)$/.test(name),
    ),
  });
});

/** What is wrong with each shader that was looked at; many are those of several devices. */
const known = new Map<string, Promise<string[]>>();

/** WGSL errors of a shader, with the lines they are about. */
function problems(code: string): Promise<string[]> {
  const found = known.get(code) ?? findProblems(code);
  known.set(code, found);
  return found;
}

async function findProblems(code: string): Promise<string[]> {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  const [info, error] = await Promise.all([module.getCompilationInfo(), device.popErrorScope()]);
  const lines = code.split('\n');
  const messages = info.messages
    .filter(({ type }) => type === 'error')
    .map(({ lineNum, message }) => `${lineNum}: ${lines[lineNum - 1]}\n  ${message}`);
  return messages.length === 0 && error ? [error.message] : messages;
}

/** The shaders that all kernels which support the case would run, by their text. */
function variants(
  testCase: OpCase,
  config: (typeof DEVICES)[number],
): Map<string, { readonly name: string; readonly shader: Shader }> {
  const graph = caseGraph(testCase);
  const types = deviceTypes(graph, config);
  const found = new Map<string, { readonly name: string; readonly shader: Shader }>();
  for (const node of graph.nodes)
    for (const kernel of ALL_KERNELS)
      for (const inPlace of [undefined, 'any'] as const) {
        const context = contextOf(config.traits, (value) => types.get(value)!);
        if (!kernel.supports(node, context)) continue;
        used.add(kernel);
        const placed = { ...context, inPlace: inPlace && kernel.inPlace(node, context) };
        for (const launch of kernel.launches(node, placed)) {
          const shader = shaderOf(launch, node, placed);
          found.set(shader.code, { name: launch.name, shader });
        }
      }
  return found;
}

describe.each(DEVICES)('shaders for $name', (config) => {
  test('are valid WGSL', async () => {
    const shaders = new Map(
      [...TEST_CASES, ...BENCH_CASES]
        .filter(({ kind }) => config.kinds?.includes(kind) ?? true)
        .flatMap((testCase) => [...variants(testCase, config)]),
    );
    const failures: string[] = [];
    // Of each kernel one that runs in parts, too.
    const parts = new Map([...shaders.values()].map(({ name, shader }) => [name, shaderOfPart(shader).code]));
    const all = [...shaders].map(([code, { name }]) => [name, code]);
    for (const [name, code] of [...all, ...parts])
      for (const problem of await problems(code))
        if (failures.length < 5) failures.push(`${name}:${problem}\n${code}`);
    expect(failures.join('\n\n')).toBe('');
    expect(shaders.size).toBeGreaterThan(config.kinds ? 25 : 50);
  });
});

test('every kernel is covered by a case, and known by its id', () => {
  expect(ALL_KERNELS.map(({ id }) => id).sort()).toEqual([...KERNEL_IDS].sort());
  expect(ALL_KERNELS.filter((kernel) => !used.has(kernel)).map(({ id }) => id)).toEqual([]);
});
