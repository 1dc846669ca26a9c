/** @file Which models and LoRAs a runner holds: as many models as a budget of bytes has room for, the latest first. */
import { expect, it } from 'vitest';
import type { Backend } from '../../src/backends/backend.ts';
import { type BackendFactory, cpu, decodePng } from '../../src/index.ts';
import { type DrawRequest, PipelineHost } from '../../server/src/index.ts';
import { runnerPrograms } from '../../cli/src/runner-programs.ts';
import { readRunnerRequest } from '../../cli/src/serve-request.ts';
import { fixturePath } from '../support/fixtures.ts';

/** A request of a small picture. */
const request = (options: Partial<DrawRequest> = {}): DrawRequest => ({
  model: 'a',
  prompt: 'a fox',
  promptSyntax: 'plain',
  seeds: [7],
  previews: 0,
  width: 64,
  height: 64,
  numInferenceSteps: 1,
  ...options,
});

/** A job that nobody gives up. */
const jobOf = (options: Partial<DrawRequest>) => ({
  request: request(options),
  signal: new AbortController().signal,
  onStep: () => undefined,
});

/** The CPU backend on this thread, with each one that is opened changed. */
function watchedCpu(change: (backend: Backend) => void): BackendFactory {
  const inner = cpu({ threads: 0 });
  return {
    name: 'cpu',
    open: async (options) => {
      const backend = await inner.open(options);
      if ('compile' in backend) change(backend);
      return backend;
    },
  };
}

/** Draws with models by name; tells which backends are open after each, in the order of their opening. */
async function heldAfter(memoryBytes: number, ...names: string[]): Promise<string[]> {
  const open: number[] = [];
  let count = 0;
  const counting = watchedCpu((backend) => {
    const own = ++count;
    open.push(own);
    const free = backend.dispose.bind(backend);
    backend.dispose = () => {
      open.splice(open.indexOf(own), 1);
      free();
    };
  });
  const source = fixturePath('pipelines/tiny-sd');
  const host = new PipelineHost({
    models: ['a', 'b', 'c'].map((name) => ({ name, source })),
    backends: () => [counting],
    memoryBytes,
  });
  const states: string[] = [];
  for (const model of names) {
    await host.draw(jobOf({ model }));
    states.push(open.join(' '));
  }
  await host.dispose();
  expect(open).toEqual([]);
  return states;
}

it('holds all models where there is room, and the last one whatever it takes', async () => {
  expect(await heldAfter(2 ** 30, 'a', 'b', 'a')).toEqual(['1', '1 2', '1 2']);
  expect(await heldAfter(1, 'a', 'b', 'a')).toEqual(['1', '2', '3']);
});

it('draws each request with its own LoRAs, without recording programs anew', async () => {
  let compiled = 0;
  const counting = watchedCpu((backend) => {
    const compile = backend.compile.bind(backend);
    backend.compile = async (...args) => {
      compiled++;
      return compile(...args);
    };
  });
  const source = fixturePath('pipelines/tiny-sd');
  const loras = ['peft', 'loha'].map((name) => ({ name, source: fixturePath(`lora/${name}.safetensors`) }));
  const host = new PipelineHost({ models: [{ name: 'a', source }], loras, backends: () => [counting] });
  const draw = async (prompt: string): Promise<string> => {
    const { pictures } = await host.draw(jobOf({ prompt, promptSyntax: 'webui', negativePrompt: '' }));
    const { data } = decodePng(pictures[0].file).image;
    return Buffer.from(data).toString('base64');
  };
  const plain = await draw('a fox');
  const before = compiled;
  expect(before).toBeGreaterThan(0);
  const one = await draw('a fox <lora:peft:1>');
  const half = await draw('a fox <lora:peft:0.5>');
  const other = await draw('a fox <lora:loha:1>');
  expect(new Set([plain, one, half, other]).size).toBe(4);
  expect(await draw('a fox <lora:peft:1>')).toBe(one);
  expect(await draw('a fox')).toBe(plain);
  expect(compiled).toBe(before);
  await host.dispose();
});

it('starts a process for each card, and for each group of CPUs with as many threads', () => {
  const args = ['--backend', 'cpu', '--devices', '0-3,4-5'];
  const request = readRunnerRequest({ backend: 'cpu', devices: '0-3,4-5', memory: '2GB' }, args);
  expect(request.memoryBytes).toBe(2e9);
  expect(runnerPrograms(request, args).map((program) => program.args.slice(-2))).toEqual([
    ['--threads', '4'],
    ['--threads', '2'],
  ]);
  const given = readRunnerRequest({ backend: 'cpu', devices: '0-3,4-5', threads: '3' }, args);
  expect(runnerPrograms(given, args).map((program) => program.args)).toEqual([args, args]);
  const cards = readRunnerRequest({ backend: 'cuda', devices: '0,1' }, []);
  expect(runnerPrograms(cards, []).map(({ env }) => env)).toEqual([
    { CUDA_VISIBLE_DEVICES: '0' },
    { CUDA_VISIBLE_DEVICES: '1' },
  ]);
  const ipAdapters = [{ name: 'plus', source: '/none.safetensors' }];
  expect(() => runnerPrograms({ ...cards, ipAdapters }, [])).toThrow(/--ip-adapter.*no file/);
  expect(() => readRunnerRequest({ devices: '0,1' }, [])).toThrow(/--devices/);
  expect(() => readRunnerRequest({ backend: 'cpu', devices: '3-1' }, [])).toThrow(/--devices.*'3-1'/);
});
