/** @file `calotype serve` as it was built: processes, signals and drains. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { fixturePath } from '../support/fixtures.ts';
import { runnersOf, startCommand } from './command.ts';

const draw = (url: string, steps: number): Promise<Response> =>
  fetch(`${url}/v1/images/generations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'a fox', size: '64x64', steps, seed: 7 }),
  });

const HAS_TASKSET = spawnSync('taskset', ['--version']).status === 0;

/** CPUs that a process may run on, such as `0-3`. Linux only. */
function cpusOf(pid: number): string {
  const [, list = ''] = /Cpus_allowed_list:\s+(\S+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return list;
}

async function untilActive(url: string): Promise<void> {
  while (!(await (await fetch(`${url}/metrics`)).text()).includes('calotype_jobs{state="active"} 1'))
    await new Promise((resolve) => void setTimeout(resolve, 20));
}

it.runIf(process.platform === 'linux')(
  'begins a job anew when its process is killed, and finishes what it has before it ends',
  async () => {
    const [cpu] = cpusOf(process.pid).split(/[-,]/);
    const model = ['--model', `tiny=${fixturePath('pipelines/tiny-sd')}`];
    const server = await startCommand(...model, '--devices', cpu);
    if (HAS_TASKSET) expect(cpusOf(runnersOf(server)[0])).toBe(cpu);
    expect((await fetch(`${server.url}/ready`)).status).toBe(200);
    const first = (await (await draw(server.url, 20)).json()) as { data: { b64_json: string }[] };
    const killed = draw(server.url, 20);
    await untilActive(server.url);
    process.kill(runnersOf(server)[0], 'SIGKILL');
    const again = (await (await killed).json()) as typeof first;
    expect(again.data[0].b64_json).toBe(first.data[0].b64_json);

    const last = draw(server.url, 20);
    await untilActive(server.url);
    const ended = once(server.process, 'exit');
    server.process.kill('SIGTERM');
    expect((await last).status).toBe(200);
    expect(await ended).toEqual([0, null]);
  },
);

it('says what is wrong with a model, and ends', async () => {
  const server = await startCommand('--model', fixturePath('pipelines'));
  expect(server.url).toBe('');
  expect(server.errors()).toMatch(/model_index\.json/);
});
