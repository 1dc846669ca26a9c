/** @file `calotype serve` as it was built: processes, signals and drains. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { fixturePath } from '../support/fixtures.ts';

const COMMAND = fileURLToPath(new URL('../../cli/bin/calotype.js', import.meta.url));

async function start(
  ...args: string[]
): Promise<{ process: ChildProcess; url: string; errors: () => string }> {
  const options = ['--port', '0', '--backend', 'cpu', '--threads', '1', '--log-level', 'error', ...args];
  const child = spawn(process.execPath, [COMMAND, 'serve', ...options], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let errors = '';
  const url = await new Promise<string>((resolve) => {
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
      const [, found] = / on (http\S+)\n/.exec(errors) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => resolve(''));
  });
  return { process: child, url, errors: () => errors };
}

const draw = (url: string, steps: number): Promise<Response> =>
  fetch(`${url}/v1/images/generations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'a fox', size: '64x64', steps, seed: 7 }),
  });

async function untilActive(url: string): Promise<void> {
  while (!(await (await fetch(`${url}/metrics`)).text()).includes('calotype_jobs{state="active"} 1'))
    await new Promise((resolve) => void setTimeout(resolve, 20));
}

it.runIf(process.platform === 'linux')(
  'begins a job anew when its process is killed, and finishes what it has before it ends',
  async () => {
    const server = await start('--model', `tiny=${fixturePath('pipelines/tiny-sd')}`);
    expect((await fetch(`${server.url}/ready`)).status).toBe(200);
    const first = (await (await draw(server.url, 20)).json()) as { data: { b64_json: string }[] };
    const killed = draw(server.url, 20);
    await untilActive(server.url);
    const { pid } = server.process;
    const [runner] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').map(Number);
    process.kill(runner, 'SIGKILL');
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
  const server = await start('--model', fixturePath('pipelines'));
  expect(server.url).toBe('');
  expect(server.errors()).toMatch(/model_index\.json/);
});
