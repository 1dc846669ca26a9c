/** @file Kernel selection: candidates, prices, autotuning with a clock of our own, and what is done with its rows. */

import { describe, expect, it } from 'vitest';
import { predictMs, speedsOf } from '../../src/kernels/cost.ts';
import type { DeviceTraits, KernelContext } from '../../src/kernels/kernel.ts';
import { MATRIX_SHAPES } from '../../src/kernels/matrix-shape.ts';
import { candidateName, candidatesFor, chooseKernel } from '../../src/kernels/selection.ts';
import { SHIPPED_ROWS } from '../../src/kernels/shipped-rows.ts';
import { tuningKey } from '../../src/kernels/tuning-key.ts';
import { tune, tuningJobs, type TuningBench } from '../../src/kernels/tuning.ts';
import { bindGraph } from '../../src/graph/graph.ts';
import { caseGraph, type OpCase } from '../cases/case.ts';
import { BENCH_CASES } from '../cases/index.ts';
import { ALL_KERNELS } from '../support/kernels.ts';
import { concrete } from '../../src/tensor/shape.ts';
import { valueOf } from '../../src/graph/graph.ts';

const TRAITS: DeviceTraits = {
  software: false,
  f16: true,
  subgroupSize: 32,
  largestSubgroup: 32,
  subgroupMatrices: MATRIX_SHAPES.slice(0, 1),
  int8Matrix: false,
  packedDot: true,
  maxWorkgroupsPerDimension: 65_535,
  maxWorkgroupStorageBytes: 49_152,
  maxInvocationsPerWorkgroup: 1024,
  maxBindingBytes: 2 ** 31,
};

/** The node of a benchmark case, as a GPU in f16 sees it. */
function nodeOf(name: string, traits: Partial<DeviceTraits> = {}) {
  const found = BENCH_CASES.find((candidate: OpCase) => candidate.name === name);
  if (!found) throw new RangeError(`no case ${name}`);
  const graph = bindGraph(caseGraph(found), {});
  const context: KernelContext = {
    traits: { ...TRAITS, ...traits },
    shapeOf: (id) => concrete(valueOf(graph, id).shape),
    dtypeOf: (id) => (valueOf(graph, id).dtype === 'float' ? 'f16' : 'i32'),
  };
  return { node: graph.nodes[0], context };
}

const conv = nodeOf('conv2d/SD1.5 640, 32x32');
const attention = nodeOf('attention/SD1.5 self 64x64');
const table = { kernels: ALL_KERNELS, without: new Set<string>() };
const policy = { ...table, tuned: new Map<string, string>() };
const speeds = speedsOf('nvidia');

describe('candidates', () => {
  it('are the kernels of the table with their variants, the unmeasured choice first', () => {
    const names = [...candidatesFor(conv.node, conv.context, table)].map(candidateName);
    expect(names[0]).toMatch(/^gemm-matrix /);
    expect(new Set(names.map((name) => name.split(' ')[0]))).toEqual(
      new Set(['gemm-matrix', 'gemm-tiled', 'gemm-register']),
    );
    expect(new Set(names).size).toBe(names.length);
    expect(candidateName(chooseKernel(conv.node, conv.context, policy))).toBe(names[0]);
  });

  it('run in their own sizes and scratch', () => {
    for (const { node, context } of [conv, attention])
      for (const { kernel, variant } of candidatesFor(node, context, table)) {
        const launches = kernel.launches(node, { ...context, variant });
        const parts = kernel.scratchBytes(node, { ...context, variant });
        expect(launches.length, candidateName({ kernel, ...(variant !== undefined && { variant }) })).toBe(
          parts.length > 0 ? 2 : 1,
        );
      }
  });

  it('follow a measured row, unless it names what there is not', () => {
    const key = tuningKey(conv.node, conv.context)!;
    expect(key).toBe('conv2d 2048x640x5760 taps 9 f16');
    const choose = (row: string) =>
      candidateName(chooseKernel(conv.node, conv.context, { ...table, tuned: new Map([[key, row]]) }));
    expect(choose('gemm-register')).toBe('gemm-register');
    expect(choose('gemm-of-old 1x1')).toBe(candidateName(chooseKernel(conv.node, conv.context, policy)));
  });
});

describe('prices', () => {
  const price = { arithmetic: 'matrix', flops: 1e12, bytes: 1e6, threads: 128, launches: 1 } as const;
  const fit = speeds.threads / 128;

  it('count whole waves', () => {
    const one = predictMs({ ...price, workgroups: fit }, speeds);
    expect(predictMs({ ...price, workgroups: fit + 1 }, speeds) / one).toBeCloseTo((2 * fit) / (fit + 1), 1);
    expect(predictMs({ ...price, workgroups: 20 * fit }, speeds)).toBeCloseTo(one, 5);
  });

  it('are those of memory where that takes longer, and of launches', () => {
    const flow = { ...price, flops: 1, bytes: speeds.bytes, workgroups: fit };
    expect(predictMs(flow, speeds)).toBeCloseTo(1000 + speeds.launchMs, 5);
  });

  it('tell the tiers apart: matrices, vectors of a GPU', () => {
    const cost = (traits: Partial<DeviceTraits>) => {
      const { node, context } = nodeOf('conv2d/SD1.5 640, 32x32', traits);
      const { kernel, variant } = chooseKernel(node, context, policy);
      return predictMs(kernel.price(node, { ...context, variant })!, speeds);
    };
    expect(cost({ subgroupMatrices: [] })).toBeGreaterThan(3 * cost({}));
  });
});

describe('tuning', () => {
  const jobs = () => tuningJobs([conv, attention, conv], speeds, table, new Map());

  /** Candidates take what `times` says, 10 ms if it says nothing; each measurement takes 100 ms. */
  function bench(times: Record<string, number | undefined>, budgetMs = 1e6) {
    let clock = 0;
    const measured: string[] = [];
    const it: TuningBench = {
      budgetMs,
      now: () => clock,
      measure(job, candidate) {
        clock += 100;
        const name = candidateName(candidate);
        measured.push(`${job.node.kind}: ${name}`);
        return Promise.resolve(name in times ? times[name] : 10);
      },
    };
    return { it, measured };
  }

  it('has a job for each key, the heaviest first, with a few likely candidates', () => {
    const [heaviest, other] = jobs();
    expect(jobs()).toHaveLength(2);
    expect(heaviest.predictedMs).toBeGreaterThan(other.predictedMs);
    for (const { candidates } of jobs()) {
      expect(candidates.length).toBeGreaterThan(1);
      expect(candidates.length).toBeLessThanOrEqual(6);
    }
  });

  it('ends where a candidate cannot be begun in the time that is left', async () => {
    const { it: usual, measured } = bench({}, 450);
    const lefts: number[] = [];
    const rows = await tune(jobs(), {
      ...usual,
      measure(job, candidate, leftMs) {
        lefts.push(leftMs);
        return leftMs < 300 ? Promise.resolve('late') : usual.measure(job, candidate, leftMs);
      },
    });
    expect(lefts).toEqual([450, 350, 250]);
    expect(measured).toHaveLength(2);
    expect(rows.size).toBe(0);
  });

  it('leaves out keys that have a row, and nodes with one candidate', () => {
    const known = new Map([[tuningKey(conv.node, conv.context)!, 'gemm-register']]);
    expect(tuningJobs([conv], speeds, table, known)).toEqual([]);
    expect(
      tuningJobs([conv], speeds, { ...table, without: new Set(['gemm-matrix', 'gemm-tiled']) }, new Map()),
    ).toEqual([]);
  });

  it('takes what is faster by more than noise, and leaves out what cannot run', async () => {
    const [job] = jobs();
    const names = job.candidates.map(candidateName);
    const rowOf = async (times: Record<string, number | undefined>) =>
      (await tune([job], bench(times).it)).get(job.key);
    expect(await rowOf({ [names[1]]: 8 })).toBe(names[1]);
    expect(await rowOf({ [names[1]]: 9.9 })).toBe(names[0]);
    expect(await rowOf({ [names[0]]: undefined })).toBe(names[1]);
    expect(await rowOf(Object.fromEntries(names.map((name) => [name, undefined])))).toBeUndefined();
  });

  it('stops when its time is up; a job that was not finished has no row', async () => {
    const [first] = jobs();
    const enough = 100 * first.candidates.length;
    const { it: full, measured } = bench({}, enough + 50);
    const rows = await tune(jobs(), full);
    expect([...rows.keys()]).toEqual([first.key]);
    expect(measured).toHaveLength(first.candidates.length + 1);
    expect((await tune(jobs(), bench({}, enough - 100).it)).size).toBe(0);
    expect((await tune(jobs(), bench({}, 0).it)).size).toBe(0);
  });
});

it('ships rows that name kernels and variants', () => {
  for (const { rows } of SHIPPED_ROWS)
    for (const [key, row] of Object.entries(rows)) {
      expect(key).toMatch(/^(conv2d|linear|attention) \d+x\d+x\d+ .*f(16|32)$/);
      expect(row).toMatch(/^(gemm|attention)-\w+( |$)/);
    }
});
