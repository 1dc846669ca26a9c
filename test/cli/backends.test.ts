/** @file What --backend and --adapter stand for, and that nobody gets a software adapter unasked. */
import { OptionError } from 'calotype';
import { hasNvidiaDriver } from 'calotype/node';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { backendsOf, describeAttempt, prepareBackend, readBackend } from '../../cli/src/backends.ts';
import { runProgram } from '../../cli/src/command.ts';
import * as adapters from '../../cli/src/prepare.ts';
import { program } from '../../cli/src/program.ts';
import { lacksVulkanLoader } from '../../cli/src/vulkan-loader.ts';

afterEach(() => vi.restoreAllMocks());

describe('--backend and --adapter', () => {
  it.each([
    [
      {},
      { name: 'auto', adapter: 'hardware', int8: false, cpu: {} },
      [...(hasNvidiaDriver() ? ['cuda'] : []), 'webgpu', 'cpu'],
    ],
    [{ backend: 'cpu' }, { name: 'cpu', adapter: 'hardware', int8: false, cpu: {} }, ['cpu']],
    [{ backend: 'webgpu' }, { name: 'webgpu', adapter: 'hardware', int8: false, cpu: {} }, ['webgpu']],
    [
      { backend: 'webgpu', adapter: 'software' },
      { name: 'webgpu', adapter: 'software', int8: false, cpu: {} },
      ['webgpu'],
    ],
    [
      { backend: 'cpu', threads: '3', simd: 'simd128' },
      { name: 'cpu', adapter: 'hardware', int8: false, cpu: { threads: 3, simd: 'simd128' } },
      ['cpu'],
    ],
    [
      { backend: 'webgpu', device: 'RTX' },
      { name: 'webgpu', adapter: 'hardware', int8: false, device: 'RTX', cpu: {} },
      ['webgpu'],
    ],
    [
      { backend: 'cuda', device: '2' },
      { name: 'cuda', adapter: 'hardware', int8: false, device: 2, cpu: {} },
      ['cuda'],
    ],
    [
      { backend: 'cuda', device: 'GPU-8932f937' },
      { name: 'cuda', adapter: 'hardware', int8: false, device: 'GPU-8932f937', cpu: {} },
      ['cuda'],
    ],
    [{ backend: 'cuda' }, { name: 'cuda', adapter: 'hardware', int8: false, cpu: {} }, ['cuda']],
    [
      { backend: 'cuda', fp8: true },
      { name: 'cuda', adapter: 'hardware', int8: false, fp8: true, cpu: {} },
      ['cuda'],
    ],
    [
      { backend: 'cuda', accumulate: 'f16' },
      { name: 'cuda', adapter: 'hardware', int8: false, accumulate: 'f16', cpu: {} },
      ['cuda'],
    ],
    [
      { backend: 'reference' },
      { name: 'reference', adapter: 'hardware', int8: false, cpu: {} },
      ['reference'],
    ],
  ])('%o', (args, choice, names) => {
    expect(readBackend(args)).toEqual(choice);
    expect(backendsOf(readBackend(args)).map(({ name }) => name)).toEqual(names);
  });

  it('are refused where they mean nothing', () => {
    expect(() => readBackend({ adapter: 'software' })).toThrow(
      /--adapter: is of WebGPU only.*--backend webgpu/,
    );
    expect(() => readBackend({ backend: 'cpu', adapter: 'hardware' })).toThrow(OptionError);
    expect(() => readBackend({ int8: true })).toThrow(/--int8: is of WebGPU and CUDA only/);
    expect(() => readBackend({ backend: 'webgpu', fp8: true })).toThrow(/--fp8: is of CUDA only/);
    expect(() => readBackend({ accumulate: 'f16' })).toThrow(/--accumulate: is of CUDA only/);
    expect(() => readBackend({ device: '1' })).toThrow(/--device: is of cards/);
    expect(() => readBackend({ backend: 'cuda', device: 'GPU' })).toThrow(/--device: 'GPU'/);
    expect(() => readBackend({ threads: '2' })).toThrow(/--threads: is of the CPU backend only/);
    expect(() => readBackend({ backend: 'webgpu', simd: 'simd128' })).toThrow(/--simd: is of the CPU/);
    expect(() => readBackend({ backend: 'cpu', threads: '-1' })).toThrow(/--threads: '-1'/);
    expect(() => readBackend({ backend: 'software' })).toThrow(
      /--backend: 'software' is not one of its choices/,
    );
    expect(() => readBackend({ backend: 'webgpu', adapter: 'gpu' })).toThrow(/--adapter: 'gpu'/);
  });

  it('unpack and restart for the software adapter alone', async () => {
    const prepare = vi.spyOn(adapters, 'prepareAdapters').mockResolvedValue();
    await prepareBackend(readBackend({}));
    await prepareBackend(readBackend({ backend: 'webgpu' }));
    expect(prepare).not.toHaveBeenCalled();
    await prepareBackend(readBackend({ backend: 'webgpu', adapter: 'software' }));
    expect(prepare).toHaveBeenCalledOnce();
  });
});

describe('a GPU whose machine has no Vulkan loader', () => {
  const linux = process.platform === 'linux' && process.arch === 'x64';

  it.runIf(linux)('is told from machines without a GPU, and from those with a loader', () => {
    const machine = (...paths: string[]) => lacksVulkanLoader((path) => paths.includes(path));
    expect(machine()).toBe(false);
    expect(machine('/dev/nvidiactl')).toBe(true);
    expect(machine('/dev/dri/renderD128')).toBe(true);
    expect(machine('/dev/nvidiactl', '/usr/lib64/libvulkan.so.1')).toBe(false);
    vi.stubEnv('LD_LIBRARY_PATH', '/opt/vulkan');
    expect(machine('/dev/nvidiactl', '/opt/vulkan/libvulkan.so.1')).toBe(false);
    vi.unstubAllEnvs();
  });
});

describe('what is chosen, and why', () => {
  it('names what was passed over', () => {
    const attempt = { backend: 'webgpu', reason: 'there is no GPU', remedy: 'Buy one' };
    expect(describeAttempt(attempt)).toBe('webgpu is not used: there is no GPU. Buy one');
  });

  it('takes the CUDA backend from its package, which says why it cannot be used', async () => {
    const [cuda] = backendsOf(readBackend({ backend: 'cuda' }));
    const opened = await cuda.open();
    if ('reason' in opened) expect(opened.reason).toMatch(/driver|card|build|library/);
    else opened.dispose();
  });

  it('is said by doctor', async () => {
    let out = '';
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => Boolean((out += String(text))));
    expect(await runProgram(program, ['doctor'])).toBe(0);
    expect(out).toMatch(/^yes {2}cpu +WebAssembly (relaxed-simd|simd128), \d+ threads?$/m);
    expect(out).toMatch(/^calotype generate would use: (cuda|webgpu|cpu \(WebAssembly)/m);
    if (/would use: cpu/.test(out)) expect(out).toMatch(/^webgpu is not used: \S/m);
  });
});
