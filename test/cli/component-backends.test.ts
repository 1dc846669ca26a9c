/** @file --component-backend and --component-budget: how they are read, and what the commands make of them. */
import { OptionError } from 'calotype';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { readBudget } from '../../cli/src/budget.ts';
import { runProgram } from '../../cli/src/command.ts';
import { componentBackendsOf, readComponentBackends } from '../../cli/src/component-backends.ts';
import { program } from '../../cli/src/program.ts';
import { fixturePath } from '../support/fixtures.ts';

afterEach(() => vi.restoreAllMocks());

const read = (text: string) => readComponentBackends({ 'component-backend': text });

describe('--component-backend', () => {
  it('names backends by component; one that is named twice is one', () => {
    const backends = componentBackendsOf(
      read('vae=cpu,text-encoder=cpu,unet=cuda:1,text-encoder-2=cuda:GPU-8932f937'),
    );
    expect(Object.entries(backends).map(([component, { name }]) => [component, name])).toEqual([
      ['vae', 'cpu'],
      ['textEncoder', 'cpu'],
      ['unet', 'cuda'],
      ['textEncoder2', 'cuda'],
    ]);
    expect(backends.vae).toBe(backends.textEncoder);
    expect(backends.unet).not.toBe(backends.textEncoder2);
    expect(readComponentBackends({}).size).toBe(0);
  });

  it.each([
    ['vea=cpu', /'vea=cpu' names no component. Did you mean vae/],
    ['vae', /'vae' names no component/],
    ['toString=cpu', /names no component/],
    ['vae=cpu,vae=cuda', /vae comes twice/],
    ['vae=gpu', /'gpu' is no backend.*cuda:1/],
    ['vae=cpu:1', /'cpu:1' is no backend/],
    ['vae=cuda:x', /'cuda:x' is no backend/],
  ])('refuses %s', (text, message) => {
    expect(() => read(text)).toThrow(OptionError);
    expect(() => read(text)).toThrow(message);
  });
});

it('--component-budget is a budget of its own', () => {
  expect(readBudget({ budget: '1GB', 'component-budget': 'vae=2GB' })).toEqual({
    budget: '1GB',
    componentBudgets: { vae: '2GB' },
    lossy: false,
  });
  expect(() => readBudget({ 'component-budget': 'vae=2GB' })).toThrow(/--component-budget.*--budget/);
});

it('--host-budget goes with a budget', () => {
  expect(readBudget({ budget: '1GB', 'host-budget': '2GB' })).toEqual({
    budget: '1GB',
    hostBudget: '2GB',
    lossy: false,
  });
  expect(() => readBudget({ 'host-budget': '2GB' })).toThrow(/--host-budget.*--budget/);
});

it('generate draws with a component elsewhere, and says where', { timeout: 120_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'calotype-test-'));
  try {
    const written = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    const draw = async (name: string, ...args: string[]): Promise<Buffer> => {
      const picture = join(folder, name);
      const call = ['a fox', '-m', fixturePath('pipelines/tiny-sd'), '--size', '64', '--steps', '1'];
      const options = ['--seed', '1', '--dtype', 'f32', '-o', picture, '--backend', 'cpu'];
      expect(await runProgram(program, ['generate', ...call, ...options, ...args])).toBe(0);
      return readFile(picture);
    };
    const plain = await draw('plain.png');
    const placed = await draw('placed.png', '--component-backend', 'text-encoder=cpu');
    // The same backend, but not the same device: the same bits.
    expect(placed.equals(plain)).toBe(true);
    const text = written.mock.calls.map(([chunk]) => String(chunk)).join('');
    expect(text).toMatch(/cpu, .*; textEncoder on cpu: /);
    expect(text).toMatch(/at most .* on cpu \(text_encoder\)/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('inspect plans for each device', { timeout: 60_000 }, async () => {
  const written = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const placed = ['--component-backend', 'vae=reference', '--component-budget', 'vae=2GB'];
  const model = fixturePath('pipelines/tiny-sd');
  expect(
    await runProgram(program, ['inspect', model, '--backend', 'cpu', '--budget', '1GB', ...placed]),
  ).toBe(0);
  const text = written.mock.calls.map(([chunk]) => String(chunk)).join('');
  expect(text).toMatch(/^for cpu .*\nvae on reference /);
  expect(text).toMatch(/memory of cpu: at most .* of 954 MiB/);
  expect(text).toMatch(/memory of reference: at most .* of 1\.86 GiB/);
});
