/** @file What the CUDA backend says where it cannot be had, and when a card fails: every error has a remedy. */
import { describe, expect, test } from 'vitest';
import { cuda, cudaFrom, type CudaOptions } from '../../native-cuda/src/cuda.ts';
import { LAUNCH_TYPES } from '../../native-cuda/src/kernels/index.ts';
import { cpu, openBackend } from '../../src/index.ts';
import {
  BackendUnavailableError,
  DeviceLostError,
  FileFormatError,
  GraphError,
  KernelError,
  OptionError,
  OutOfMemoryError,
} from '../../src/errors.ts';
import type { Backend } from '../../src/backends/backend.ts';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { graphWeights } from '../support/random-graph-data.ts';
import { cudaError, FAKE_CARD, FakeNative } from './fake-native.ts';

const from = (native: FakeNative) => cudaFrom(() => Promise.resolve(native));

/** Opens a fake card that some change was made to. */
async function attempt(change: (native: FakeNative) => void, options: CudaOptions = {}) {
  const native = new FakeNative();
  change(native);
  const opened = await cudaFrom(() => Promise.resolve(native), options).open();
  expect(native.openQueues).toBe('reason' in opened ? 0 : 1);
  return opened;
}

describe('cuda() says why it cannot be had', () => {
  test.each([
    ['no driver', (n: FakeNative) => (n.driver = 0), /no NVIDIA driver/, /driver 580/],
    [
      'an old driver',
      (n: FakeNative) => {
        n.driver = 12040;
        n.failures.set('deviceCount', cudaError('cudaErrorInsufficientDriver', 'cudaGetDeviceCount'));
      },
      /too old: it knows CUDA 12\.4, and 13\.0 is needed/,
      /580 or later/,
    ],
    [
      'no card',
      (n: FakeNative) => n.failures.set('deviceCount', cudaError('cudaErrorNoDevice', 'cudaGetDeviceCount')),
      /no NVIDIA card/,
      /CUDA_VISIBLE_DEVICES/,
    ],
    [
      'a card that is too old',
      (n: FakeNative) => (n.cards = [{ ...FAKE_CARD, name: 'Tesla T4', major: 7, minor: 5 }]),
      /Tesla T4 has compute capability 7\.5/,
      /webgpu/,
    ],
    [
      'a busy card',
      (n: FakeNative) =>
        n.failures.set('openQueue', cudaError('cudaErrorDevicesUnavailable', 'cudaSetDevice')),
      /busy/,
      /nvidia-smi/,
    ],
    [
      'a broken card',
      (n: FakeNative) => n.failures.set('openQueue', cudaError('cudaErrorSystemNotReady', 'cudaSetDevice')),
      /cudaSetDevice failed with cudaErrorSystemNotReady/,
      /nvidia-smi/,
    ],
    [
      'a missing symbol',
      (n: FakeNative) => (n.types = LAUNCH_TYPES.slice(1)),
      new RegExp(`does not have the kernel ${LAUNCH_TYPES[0].name}`),
      /belong together/,
    ],
    [
      'another version of a kernel',
      (n: FakeNative) => (n.types = LAUNCH_TYPES.map((type, i) => (i === 3 ? { ...type, bytes: 8 } : type))),
      new RegExp(LAUNCH_TYPES[3].name),
      /belong together/,
    ],
  ])('%s', async (_name, change, reason, remedy) => {
    const opened = await attempt(change);
    expect(opened).toMatchObject({ backend: 'cuda' });
    expect('reason' in opened && opened.reason).toMatch(reason);
    expect('remedy' in opened && opened.remedy).toMatch(remedy);
  });

  test('for a card that is not there, and for what names no card', async () => {
    const opened = await attempt(() => undefined, { device: 1 });
    const reason = `there is no card 1: CUDA sees 0 (${FAKE_CARD.uuid})`;
    expect(opened).toMatchObject({ reason });
    expect(() => cuda({ device: -1 })).toThrow(OptionError);
    expect(() => cuda({ device: 0.5 })).toThrow(/device: 0\.5 is neither the number of a card nor its UUID/);
    for (const device of ['', '0', 'GPU-', 'GPU-x', 'H100'])
      expect(() => cuda({ device }), device).toThrow(/device: ".*" is neither.*nvidia-smi -L/);
  });

  test('for numbers of eight bits that a card cannot multiply, and for ways that there are not', async () => {
    const onAmpere = (native: FakeNative): void => void (native.cards = [{ ...FAKE_CARD, major: 8 }]);
    expect(await attempt(onAmpere, { fp8: 'dynamic' })).toMatchObject({
      reason: 'Fake H100 has compute capability 8.0, and kernels for fp8 are built for 9.0',
    });
    expect(await attempt(onAmpere, { int8: 'dynamic' })).toHaveProperty('name', 'cuda');
    expect(() => cuda({ int8: 'dynamic', fp8: 'dynamic' })).toThrow(/fp8: cannot be had together with int8/);
    expect(await attempt(() => undefined, { accumulate: 'f16' })).toMatchObject({
      reason: 'Fake H100 is no faster with sums in f16, and has no kernels for them',
    });
    expect(await attempt(onAmpere, { accumulate: 'f16' })).toHaveProperty('name', 'cuda');
    expect(() => cuda({ accumulate: 'f32' as 'f16' })).toThrow(/accumulate: f32 is nothing that sums/);
    expect(() => cuda({ int8: 'static' as 'dynamic' })).toThrow(/int8: static is no way/);
    expect(() => cuda({ fp4: 'dynamic' } as CudaOptions)).toThrow(/fp4: is no option/);
  });

  test('and the next backend is taken', async () => {
    const native = new FakeNative();
    native.driver = 0;
    const skipped: string[] = [];
    const backend = await openBackend([from(native), cpu({ threads: 0 })], {
      onSkipped: ({ backend: name }) => void skipped.push(name),
    });
    expect([backend.name, skipped]).toEqual(['cpu', ['cuda']]);
    backend.dispose();
    await expect(openBackend([from(native)])).rejects.toThrow(BackendUnavailableError);
  });

  test('and what it is on a card', async () => {
    const opened = await attempt(() => undefined);
    if ('reason' in opened) throw new Error(opened.reason);
    expect(opened.description).toBe('Fake H100, compute capability 9.0, driver for CUDA 13.0');
    expect(opened.dtypes).toEqual(['f32', 'f16', 'bf16']);
  });
});

/** y = 2 x */
function doubling(elements: number): Graph {
  const b = new GraphBuilder('doubling');
  b.output('y', b.affine(b.input('x', [elements], 'float', 'latent'), 2, 0, 'twice'));
  return b.build();
}

async function openFake(native: FakeNative): Promise<Backend> {
  const opened = await from(native).open();
  if ('reason' in opened) throw new Error(opened.reason);
  return opened;
}

async function compileDoubling(backend: Backend, elements = 8) {
  const graph = doubling(elements);
  const weights = backend.createWeights(graphWeights(graph));
  return backend.compile(layOutGraph(graph, backend.target('f32')), { weights });
}

describe('a card', () => {
  test('without enough memory says how much is left, and frees what was taken', async () => {
    const native = new FakeNative();
    const backend = await openFake(native);
    const compiling = compileDoubling(backend, 3 * 2 ** 20);
    await expect(compiling).rejects.toThrow(OutOfMemoryError);
    await expect(compiling).rejects.toThrow(/tensor "y": 4 MiB of 16 MiB are free.*smaller size/);
    expect(native.usedBytes).toBe(0);
    // It can go on with less.
    (await compileDoubling(backend)).dispose();
    expect(native.usedBytes).toBe(0);
  });

  test('that fails is lost: this call and all further ones say so', async () => {
    const native = new FakeNative();
    const backend = await openFake(native);
    const program = await compileDoubling(backend);
    native.failures.set('copyOut', cudaError('cudaErrorIllegalAddress', 'cudaEventSynchronize'));
    await expect(program.read('y')).rejects.toThrow(DeviceLostError);
    expect(() => program.run()).toThrow(/cudaErrorIllegalAddress in cudaEventSynchronize/);
    await expect(backend.idle()).rejects.toThrow(DeviceLostError);
    program.dispose();
    backend.dispose();
    expect(native.openQueues).toBe(0);
  });

  test.each([
    ['cudaErrorNoKernelImageForDevice', KernelError, /cannot run the kernels.*580 or later/],
    ['cudaErrorInvalidValue', KernelError, /bug in the CUDA backend/],
    ['cudaErrorLaunchFailure', DeviceLostError, /card failed/],
  ])('that answers %s to a recording leaves nothing behind', async (name, type, message) => {
    const native = new FakeNative();
    const backend = await openFake(native);
    native.failures.set('record', cudaError(name, 'affine', 0));
    const compiling = compileDoubling(backend);
    await expect(compiling).rejects.toThrow(type);
    await expect(compiling).rejects.toThrow(message);
    if (type === KernelError) expect(native.usedBytes).toBe(0);
  });

  test('that was given back is not used again', async () => {
    const backend = await openFake(new FakeNative());
    const program = await compileDoubling(backend);
    backend.dispose();
    backend.dispose();
    expect(() => program.run()).toThrow(DeviceLostError);
    program.dispose();
  });
});

test('each card has a backend of its own, and outlives the others', async () => {
  const native = new FakeNative();
  native.cards = [FAKE_CARD, { ...FAKE_CARD, name: 'Fake H200' }];
  const [second, first] = await Promise.all(
    [1, 0].map(async (device) => {
      const opened = await cudaFrom(() => Promise.resolve(native), { device }).open();
      if ('reason' in opened) throw new Error(opened.reason);
      return opened;
    }),
  );
  expect(native.openedCards).toEqual([1, 0]);
  expect([first.description, second.description]).toEqual([
    expect.stringMatching(/^Fake H100,/),
    expect.stringMatching(/^Fake H200,/),
  ]);
  const programs = [await compileDoubling(first), await compileDoubling(second)];
  first.dispose();
  expect(() => programs[0].run()).toThrow(DeviceLostError);
  programs[1].run();
  programs[1].dispose();
  second.dispose();
  expect(native.openQueues).toBe(0);
});

describe('programs', () => {
  test('refuse what they have no input for, and use after disposal', async () => {
    const backend = await openFake(new FakeNative());
    const program = await compileDoubling(backend);
    expect(() => program.write('z', new Float32Array(8))).toThrow(/z: is no input or output.*x, y/);
    expect(() => program.write('x', new Float32Array(7))).toThrow(/x: is a Float32Array of 7 elements/);
    expect(() => program.write('x', new Int32Array(8))).toThrow(OptionError);
    program.dispose();
    expect(() => program.run()).toThrow(/was disposed of/);
  });

  test('refuse plans, weights and tensors of others', async () => {
    const backend = await openFake(new FakeNative());
    const other = await openFake(new FakeNative());
    const graph = doubling(8);
    const weights = backend.createWeights(graphWeights(graph));
    const plan = layOutGraph(graph, backend.target('f32'));
    const foreign = layOutGraph(graph, createReferenceBackend().target('f32'));
    await expect(backend.compile(foreign, { weights })).rejects.toThrow(GraphError);
    await expect(other.compile(plan, { weights })).rejects.toThrow(GraphError);
    const theirs = await compileDoubling(other);
    const tensors = new Map([['x', theirs.tensor('y')]]);
    await expect(backend.compile(plan, { weights, tensors })).rejects.toThrow(/cannot be shared/);
  });

  test('of weights with another shape are refused before anything is read', async () => {
    const backend = await openFake(new FakeNative());
    const b = new GraphBuilder('layer');
    b.output('y', b.linear(b.input('x', [4, 8], 'float', 'latent'), 'fc', { channels: 16 }));
    const graph = b.build();
    const weights = backend.createWeights({
      info: () => ({ dtype: 'F32', shape: [3, 3], file: 'model.safetensors' }),
      read: () => Promise.reject(new Error('must not be read')),
    });
    const compiling = backend.compile(layOutGraph(graph, backend.target('f32')), { weights });
    await expect(compiling).rejects.toThrow(FileFormatError);
  });
});
