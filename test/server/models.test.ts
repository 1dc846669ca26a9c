/** @file Which models a runner holds: as many as a budget of bytes has room for, the latest first. */
import { expect, it } from 'vitest';
import { type BackendFactory, cpu } from '../../src/index.ts';
import { type DrawRequest, PipelineHost } from '../../server/src/index.ts';
import { runnerPrograms } from '../../cli/src/runner-programs.ts';
import { readRunnerRequest } from '../../cli/src/serve-request.ts';
import { fixturePath } from '../support/fixtures.ts';

/** Draws with models by name; tells which backends are open after each, in the order of their opening. */
async function heldAfter(memoryBytes: number, ...names: string[]): Promise<string[]> {
  const open: number[] = [];
  let count = 0;
  const inner = cpu({ threads: 0 });
  const counting: BackendFactory = {
    name: 'cpu',
    open: async (options) => {
      const backend = await inner.open(options);
      if (!('compile' in backend)) return backend;
      const own = ++count;
      open.push(own);
      const free = backend.dispose.bind(backend);
      backend.dispose = () => {
        open.splice(open.indexOf(own), 1);
        free();
      };
      return backend;
    },
  };
  const source = fixturePath('pipelines/tiny-sd');
  const host = new PipelineHost({
    models: ['a', 'b', 'c'].map((name) => ({ name, source })),
    backends: () => [counting],
    memoryBytes,
  });
  const states: string[] = [];
  for (const model of names) {
    const request: DrawRequest = {
      model,
      prompt: 'a fox',
      promptSyntax: 'plain',
      seeds: [7],
      previews: 0,
      width: 64,
      height: 64,
      numInferenceSteps: 1,
    };
    await host.draw({ request, signal: new AbortController().signal, onStep: () => undefined });
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
  expect(() => readRunnerRequest({ devices: '0,1' }, [])).toThrow(/--devices/);
  expect(() => readRunnerRequest({ backend: 'cpu', devices: '3-1' }, [])).toThrow(/--devices.*'3-1'/);
});
