/**
 * @file Twice the load that a server can sustain: it answers what it can, refuses the rest at once, and takes no more memory
 * for it. LOAD_SECONDS makes it longer, and prints what was measured.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { fixturePath } from '../support/fixtures.ts';
import { runnersOf, startCommand, type ServeCommand } from './command.ts';

const LOAD_SECONDS = Number(process.env['LOAD_SECONDS'] ?? 5);
const QUEUE = 8;
const MIB = 2 ** 20;

/** How requests ended. */
interface Tally {
  drawn: number;
  refused: number;
  /** Anything else, as text. */
  readonly others: string[];
  /** Seconds until a refusal. */
  slowest: number;
}

const sleep = (milliseconds: number) => new Promise((resolve) => void setTimeout(resolve, milliseconds));

async function ask(url: string, seed: number, tally: Tally): Promise<void> {
  const begin = performance.now();
  try {
    const response = await fetch(`${url}/v1/images/generations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a fox', size: '64x64', steps: 4, seed }),
    });
    const text = await response.text();
    if (response.status === 200 && text.includes('b64_json')) tally.drawn++;
    else if (response.status === 429 && Number(response.headers.get('retry-after')) > 0) {
      tally.refused++;
      tally.slowest = Math.max(tally.slowest, (performance.now() - begin) / 1000);
    } else tally.others.push(`${response.status} ${text}`);
  } catch (error) {
    tally.others.push(String(error));
  }
}

/** Pictures a second when as many clients as share a batch ask again as soon as they are answered. */
async function sustained(url: string, seconds: number): Promise<number> {
  const tally: Tally = { drawn: 0, refused: 0, others: [], slowest: 0 };
  const begin = performance.now();
  const client = async (): Promise<void> => {
    while (performance.now() - begin < seconds * 1000) await ask(url, tally.drawn, tally);
  };
  await Promise.all(Array.from({ length: 4 }, client));
  expect(tally.others).toEqual([]);
  return tally.drawn / ((performance.now() - begin) / 1000);
}

/** Bytes of memory that the server and its runner have. */
function residentBytes(server: ServeCommand): number {
  return [server.process.pid, ...runnersOf(server)].reduce((sum: number, pid) => {
    const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return sum + Number(kib) * 1024;
  }, 0);
}

async function waiting(url: string): Promise<number> {
  const [, count] = /\{state="waiting"\} (\d+)/.exec(await (await fetch(`${url}/metrics`)).text()) ?? [];
  return Number(count);
}

it.runIf(process.platform === 'linux')(
  'refuses at once what is over twice what it can do, loses nothing, and its memory stays flat',
  { timeout: (LOAD_SECONDS + 120) * 1000 },
  async () => {
    const server = await startCommand(
      '--model',
      `tiny=${fixturePath('pipelines/tiny-sd')}`,
      ...`--batch 4 --queue-size ${QUEUE} --concurrent 100000`.split(' '),
    );
    // What programs there are is compiled first.
    await sustained(server.url, 1);
    const rate = await sustained(server.url, Math.max(2, LOAD_SECONDS / 6));
    const tally: Tally = { drawn: 0, refused: 0, others: [], slowest: 0 };
    const asked: Promise<void>[] = [];
    const memory: number[] = [];
    let longest = 0;
    const begin = performance.now();
    const elapsed = (): number => (performance.now() - begin) / 1000;
    while (elapsed() < LOAD_SECONDS) {
      // Where the machine has more to give than a moment ago, twice as much as that.
      const load = 2 * Math.max(rate, tally.drawn / elapsed());
      while (asked.length < load * elapsed()) asked.push(ask(server.url, asked.length, tally));
      memory.push(residentBytes(server));
      longest = Math.max(longest, await waiting(server.url));
      await sleep(50);
    }
    await Promise.all(asked);
    const seconds = elapsed();
    const ended = once(server.process, 'exit');
    server.process.kill('SIGTERM');

    const half = memory.length >> 1;
    const [before, after] = [Math.max(...memory.slice(0, half)), Math.max(...memory.slice(half))];
    if (process.env['LOAD_SECONDS'] !== undefined)
      process.stderr.write(
        `${rate.toFixed(1)}/s sustained; ${asked.length} asked in ${seconds.toFixed(1)} s, ${tally.drawn} drawn, ` +
          `${tally.refused} refused within ${tally.slowest.toFixed(2)} s, at most ${longest} waiting; ` +
          `${Math.round(before / MIB)} MiB at most in the first half, ${Math.round(after / MIB)} MiB in the second\n`,
      );
    expect(tally.others).toEqual([]);
    expect(tally.drawn + tally.refused).toBe(asked.length);
    // On a slow machine so few are asked that a good part of them fits the queue.
    expect(tally.refused).toBeGreaterThanOrEqual(Math.floor(asked.length / 8) - QUEUE);
    // It goes on drawing. Those who ask share its cores, and others may since the rate was measured.
    expect(tally.drawn / seconds).toBeGreaterThan(rate / 8);
    expect(longest).toBeLessThanOrEqual(QUEUE);
    expect(after).toBeLessThan(before * 1.15 + 32 * MIB);
    expect(await ended).toEqual([0, null]);
  },
);
