/**
 * @file `npm run bench -- serve [--model FOLDER] [--clients 1,4,16] [--seconds 10] [--batch 1,8] [--peers diffusers] [--phases] [--profile] [ARGS]`: pictures a
 * second and latencies of `calotype serve` under clients that ask again as soon as they are answered; ARGS go to it
 * (`--backend cuda --devices 0,0` is two processes on one card). Beside it diffusers in one process, in the same run. `--phases`
 * tells where the time of a picture goes, `--profile` which functions the main threads of the server's processes spend theirs in
 * (profiled threads count as busy while they wait, too).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as v from 'valibot';
import { CALOTYPE, findPython, readOwnOptions, print, run, whileInFolder } from './processes.ts';
import { heaviestFunctions, PROFILES_VARIABLE, type Span, steadyMicroseconds } from './profiles.ts';
import { phaseTable, readServerTiming, type Timing } from './server-timing.ts';

/** What a number of clients saw. */
interface Load {
  readonly perSecond: number;
  /** Seconds of answered requests, ascending. */
  readonly latencies: readonly number[];
  readonly refused: number;
  readonly timings: readonly Timing[];
}

const OPTIONS = {
  model: { type: 'string' },
  clients: { type: 'string', default: '1,4,16' },
  seconds: { type: 'string', default: '10' },
  batch: { type: 'string', default: '1,8' },
  peers: { type: 'string', default: 'diffusers' },
  phases: { type: 'boolean', default: false },
  profile: { type: 'boolean', default: false },
} as const;

/** Of drawing before anything is measured. */
const WARM_SECONDS = 1.5;
/** Functions of a profile that are told of. */
const FUNCTIONS = 25;

const PEER = v.object({ batch: v.number(), perSecond: v.number(), median: v.number() });

/** Starts a server for each batch size and loads it with each number of clients. */
export async function benchServe(args: readonly string[]): Promise<void> {
  const { values, rest } = readOwnOptions(args, OPTIONS);
  const { model, seconds } = values;
  const passed = [...(typeof model === 'string' ? ['--model', model] : []), ...rest];
  print('pictures a second; latencies in seconds');
  print('server             batch  clients  pictures/s    p50    p95    p99  refused');
  const phases = new Map<string, readonly Timing[]>();
  for (const batch of numbersOf(values.batch))
    await whileInFolder(async (profiles) => {
      const spans: Span[] = [];
      const options = ['--batch', String(batch), '--queue-size', '64', ...passed];
      const server = await startServer(options, values.profile === true ? profiles : undefined);
      try {
        await warm(server.url, batch);
        for (const clients of numbersOf(values.clients)) {
          const begin = steadyMicroseconds();
          const load = await loadWith(server.url, clients, Number(seconds));
          const name = `batch ${batch}, ${clients} clients`;
          spans.push({ name, begin, end: steadyMicroseconds() });
          phases.set(name, load.timings);
          printLoad('calotype', batch, clients, load);
        }
      } finally {
        server.process.kill('SIGTERM');
        await once(server.process, 'exit');
      }
      if (values.profile === true) print(heaviestFunctions(profiles, spans, FUNCTIONS));
    });
  if (values.phases === true) print(phaseTable(phases));
  if (values.peers === 'diffusers' && typeof model === 'string')
    benchDiffusers(model, String(values.batch), String(seconds));
}

function printLoad(
  server: string,
  batch: number,
  clients: number,
  { perSecond, latencies, refused }: Load,
): void {
  const at = (share: number): string =>
    (latencies[Math.ceil(share * latencies.length) - 1] ?? NaN).toFixed(2).padStart(6);
  print(
    `${server.padEnd(18)} ${String(batch).padStart(5)}  ${String(clients).padStart(7)}  ${perSecond.toFixed(2).padStart(10)} ` +
      `${at(0.5)} ${at(0.95)} ${at(0.99)}  ${String(refused).padStart(7)}`,
  );
}

/** One process that calls the pipeline in a loop, which is as fast as a server of it can be. */
function benchDiffusers(model: string, batches: string, seconds: string): void {
  const python = findPython();
  if (python === undefined) return;
  const { stdout } = run(python, ['bench/torch-serve.py', model, '--batch', batches, '--seconds', seconds]);
  for (const line of stdout.split('\n').filter((text) => text.startsWith('{'))) {
    const { batch, perSecond, median } = v.parse(PEER, JSON.parse(line));
    printLoad('diffusers, a loop', batch, batch, {
      perSecond,
      latencies: [median],
      refused: 0,
      timings: [],
    });
  }
}

/** Draws as many pictures at a time as there can be, by way of each size that programs are compiled for, for a while. */
async function warm(url: string, batch: number): Promise<void> {
  for (let pictures = 1; pictures <= batch; pictures *= 2)
    await Promise.all(Array.from({ length: pictures }, () => draw(url)));
  // Engines of JavaScript make what is called often fast only after a while, too.
  await loadWith(url, batch, WARM_SECONDS);
}

/** @param profiles folder for profiles of its processes, if there are to be some */
async function startServer(
  args: readonly string[],
  profiles: string | undefined,
): Promise<{ process: ChildProcess; url: string }> {
  const profiled = new URL('./profiled.js', import.meta.url).href;
  const env = profiles !== undefined && {
    NODE_OPTIONS: `--import=${profiled}`,
    [PROFILES_VARIABLE]: profiles,
  };
  const options = ['serve', '--port', '0', '--log-level', 'error', ...args];
  const child = spawn(process.execPath, [CALOTYPE, ...options], {
    stdio: ['ignore', 'inherit', 'pipe'],
    env: { ...process.env, ...env },
  });
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
async function loadWith(url: string, clients: number, seconds: number): Promise<Load> {
  const begin = performance.now();
  const end = begin + seconds * 1000;
  const latencies: number[] = [];
  const timings: Timing[] = [];
  let refused = 0;
  const usedBefore = await usedSeconds(url);
  const client = async (): Promise<void> => {
    while (performance.now() < end) {
      const asked = performance.now();
      const { retryAfter, timing } = await draw(url);
      const took = performance.now() - asked;
      if (retryAfter === undefined) {
        latencies.push(took / 1000);
        const told = [...timing.values()].reduce((sum, milliseconds) => sum + milliseconds, 0);
        timings.push(new Map([...timing, ['answer', took - told], ['all', took]]));
      } else {
        refused++;
        await new Promise((resolve) => void setTimeout(resolve, retryAfter * 1000));
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const took = (performance.now() - begin) / 1000;
  latencies.sort((a, b) => a - b);
  const used = await usedSeconds(url);
  const shares = Object.entries(used).map(([name, seconds]): [string, number] => [
    name,
    ((seconds - usedBefore[name]) * 1000) / timings.length,
  ]);
  return {
    perSecond: latencies.length / took,
    latencies,
    refused,
    timings: timings.map((timing) => new Map([...timing, ...shares])),
  };
}

/** Seconds that threads were at work so far: those that feed devices, and the server's. */
async function usedSeconds(url: string): Promise<Readonly<Record<string, number>>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const sumOf = (metric: string): number =>
    [...text.matchAll(new RegExp(`^${metric}(?:{.*})? (.+)$`, 'gm'))].reduce(
      (sum, [, value]) => sum + Number(value),
      0,
    );
  return {
    'feeder busy': sumOf('calotype_runner_busy_seconds_total'),
    'server busy': sumOf('process_cpu_seconds_total'),
  };
}

/** Draws one picture; `retryAfter` are the seconds to wait where it was refused because there is too much to do. */
async function draw(
  url: string,
): Promise<{ readonly retryAfter: number | undefined; readonly timing: Timing }> {
  const response = await fetch(`${url}/v1/images/generations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'a red apple, 3D' }),
  });
  const text = await response.text();
  const timing = readServerTiming(response.headers.get('server-timing'));
  if (response.status === 429) return { retryAfter: Number(response.headers.get('retry-after')), timing };
  if (!response.ok) throw new Error(`the server answered ${response.status}: ${text}`);
  return { retryAfter: undefined, timing };
}

function numbersOf(text: unknown): number[] {
  return String(text).split(',').map(Number);
}
