/** @file Where a job's time goes, as answers and metrics tell it, and as the load benchmark reads it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { heaviestFunctions } from '../../bench/profiles.ts';
import { phaseTable, readServerTiming } from '../../bench/server-timing.ts';
import { PHASES } from '../../server/src/phases.ts';
import { encodeInThreads } from '../../server/src/runner/encoding-thread.ts';
import { fixturePath } from '../support/fixtures.ts';
import { startServer } from './support.ts';

it('tells each phase of a job, in the answer of either API and in the metrics', async () => {
  const server = await startServer();
  onTestFinished(() => server.close());
  const post = async (path: string, body: object): Promise<ReadonlyMap<string, number>> => {
    const begin = performance.now();
    const response = await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a fox', steps: 3, ...body }),
    });
    await response.arrayBuffer();
    const took = performance.now() - begin;
    expect(response.status).toBe(200);
    const timing = readServerTiming(response.headers.get('server-timing'));
    const told = [...timing.values()].reduce((sum, phase) => sum + phase, 0);
    expect(told).toBeLessThanOrEqual(took);
    return timing;
  };
  const first = await post('/v1/images/generations', { size: '64x64' });
  expect([...first.keys()]).toEqual(PHASES);
  for (const phase of ['denoise', 'decode', 'file']) expect(first.get(phase), phase).toBeGreaterThan(0);
  const second = await post('/sdapi/v1/txt2img', { width: 64, height: 64 });
  expect([...second.keys()]).toEqual(PHASES);

  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  for (const phase of PHASES)
    expect(metrics).toContain(`calotype_phase_seconds_count{model="tiny-sd",phase="${phase}"} 2`);
  expect(metrics).toMatch(/calotype_runner_busy_seconds_total\{model="tiny-sd"\} \d/);
});

it('reads the header Server-Timing, and tells means', () => {
  const timing = readServerTiming('queue;dur=1.5, file;desc="to PNG";dur=20, cache');
  expect([...timing]).toEqual([
    ['queue', 1.5],
    ['file', 20],
  ]);
  expect(readServerTiming(null).size).toBe(0);
  const rows = phaseTable(new Map([['one', [timing, new Map([['queue', 0.5]])]]])).split('\n');
  expect(rows.map((row) => row.split(/\s{2,}/))).toEqual([
    ['ms a picture', 'queue', 'file'],
    ['one', '1.0', '10.0'],
  ]);
});

it('tells the functions of a profile that were heaviest in a span, without idling', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'calotype-profile-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const node = (id: number, functionName: string, url = '') => ({
    id,
    callFrame: { functionName, url, lineNumber: 6 },
  });
  const profile = {
    startTime: 1000,
    nodes: [node(1, '(idle)'), node(2, 'draw', 'file:///app/runner.js'), node(3, 'write')],
    // Each lasts until the next: draw 1000..2000, idle to 3000, write to 7000; the last one's length is not known.
    samples: [2, 1, 3, 2],
    timeDeltas: [0, 1000, 1000, 4000],
  };
  await writeFile(join(folder, 'runner.js.12'), JSON.stringify(profile));
  const spans = [
    { name: 'all', begin: 1000, end: 11_000 },
    { name: 'beginning', begin: 1000, end: 2000 },
  ];
  const text = heaviestFunctions(folder, spans, 1);
  expect(text.split('\n').map((line) => line.trim())).toEqual([
    'runner.js.12, all: main thread busy for 50 %',
    '4.0 ms  write',
    'runner.js.12, beginning: main thread busy for 100 %',
    '1.0 ms  draw runner.js:7',
  ]);
});

it('makes files of several pictures at once in several threads, of one after the other in one', async () => {
  const script = pathToFileURL(fixturePath('server/fake-encoder.js'));
  const encode = encodeInThreads(script, 2);
  // Its files are the numbers of threads.
  const draw = async (): Promise<number> => {
    const data = new Uint8ClampedArray(4);
    const [thread] = await encode({ width: 1, height: 1, data }, { format: 'png', quality: 100 }, {});
    return thread;
  };
  const first = await draw();
  expect(await draw()).toBe(first);
  const several = await Promise.all([draw(), draw(), draw(), draw()]);
  expect(new Set(several).size).toBe(2);
  expect(several).toContain(first);
});
