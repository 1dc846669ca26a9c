/**
 * @file `npm run bench -- serve [--clients 1,4,16] [--seconds 10] [--batch 1,4] [--size 512x512] [--steps 4] [ARGS]`: requests a
 * second and latencies of `calotype serve` under clients that ask again as soon as they are answered; ARGS go to it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { CALOTYPE, print } from './processes.ts';

/** What a number of clients saw. */
interface Load {
  readonly perSecond: number;
  /** Seconds of answered requests, ascending. */
  readonly latencies: readonly number[];
  readonly refused: number;
}

/** Starts a server for each batch size and loads it with each number of clients. */
export async function benchServe(args: readonly string[]): Promise<void> {
  const { values, tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    options: {
      clients: { type: 'string', default: '1,4,16' },
      seconds: { type: 'string', default: '10' },
      batch: { type: 'string', default: '1,4' },
      size: { type: 'string', default: '256x256' },
      steps: { type: 'string', default: '4' },
    },
  });
  const own = new Set(['clients', 'seconds', 'batch', 'size', 'steps']);
  const passed = tokens.flatMap((token) => {
    if (token.kind === 'option' && !own.has(token.name))
      return token.value === undefined ? [token.rawName] : [token.rawName, token.value];
    return token.kind === 'positional' ? [token.value] : [];
  });
  const { size, steps } = values;
  print(`pictures of ${String(size)}, ${String(steps)} steps; latencies in seconds`);
  print('batch  clients  requests/s    p50    p90    p99  refused');
  for (const batch of numbersOf(values.batch)) {
    const server = await startServer(['--batch', String(batch), ...passed]);
    try {
      const ask = { prompt: 'a red apple, 3D', size, steps: Number(steps) };
      await draw(server.url, ask);
      for (const clients of numbersOf(values.clients)) {
        const load = await loadWith(server.url, ask, clients, Number(values.seconds));
        const at = (share: number): string =>
          (load.latencies[Math.floor(share * (load.latencies.length - 1))] ?? NaN).toFixed(2).padStart(6);
        print(
          `${String(batch).padStart(5)}  ${String(clients).padStart(7)}  ${load.perSecond.toFixed(2).padStart(10)} ` +
            `${at(0.5)} ${at(0.9)} ${at(0.99)}  ${String(load.refused).padStart(7)}`,
        );
      }
    } finally {
      server.process.kill('SIGTERM');
      await once(server.process, 'exit');
    }
  }
}

async function startServer(args: readonly string[]): Promise<{ process: ChildProcess; url: string }> {
  const options = ['serve', '--port', '0', '--log-level', 'error', ...args];
  const child = spawn(process.execPath, [CALOTYPE, ...options], { stdio: ['ignore', 'inherit', 'pipe'] });
  let text = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const [, found] = / on (http\S+)\n/.exec(text) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(text)));
  });
  return { process: child, url };
}

/** Each client asks again when it is answered, or after the time that a refusal says, until the time is over. */
async function loadWith(url: string, body: object, clients: number, seconds: number): Promise<Load> {
  const begin = performance.now();
  const end = begin + seconds * 1000;
  const latencies: number[] = [];
  let refused = 0;
  const client = async (): Promise<void> => {
    while (performance.now() < end) {
      const asked = performance.now();
      const retryAfter = await draw(url, body);
      if (retryAfter === undefined) latencies.push((performance.now() - asked) / 1000);
      else {
        refused++;
        await new Promise((resolve) => void setTimeout(resolve, retryAfter * 1000));
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const took = (performance.now() - begin) / 1000;
  latencies.sort((a, b) => a - b);
  return { perSecond: latencies.length / took, latencies, refused };
}

/** Draws one picture; gives the seconds to wait where it was refused because there is too much to do. */
async function draw(url: string, body: object): Promise<number | undefined> {
  const response = await fetch(`${url}/v1/images/generations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (response.status === 429) return Number(response.headers.get('retry-after'));
  if (!response.ok) throw new Error(`the server answered ${response.status}: ${text}`);
  return undefined;
}

function numbersOf(text: unknown): number[] {
  return String(text).split(',').map(Number);
}
