/**
 * @file `npm run bench -- budgets --model FOLDER`: whole pictures of a model within budgets of memory, on WebGPU: how long they take,
 * and what the driver says was in use. bench/make-model.py makes folders.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { openBackend } from 'calotype';
import * as v from 'valibot';
import { backendsOf, readBackend } from '../cli/src/backends.ts';
import { table } from '../cli/src/table.ts';
import {
  bench,
  lastLine,
  megabytes,
  nvidiaCard,
  readOwnOptions,
  print,
  run,
  watchingMemory,
} from './processes.ts';

const Figures = v.looseObject({
  backend: v.string(),
  steps: v.number(),
  cold: v.number(),
  warm: v.number(),
  step: v.number(),
  notices: v.array(v.string()),
  memory: v.optional(v.object({ peakDeviceBytes: v.number(), peakHostBytes: v.number() })),
});
type Figures = v.InferOutput<typeof Figures>;

/** A picture within a budget. */
interface Row {
  readonly budget: string;
  /** Of the card's memory, by the driver. */
  readonly bytes?: number | undefined;
  readonly figures?: Figures;
  readonly error?: string;
}

const OWN_OPTIONS = {
  model: { type: 'string' },
  budget: { type: 'string', default: 'none,16GB,8GB,4GB,4GB+lossy' },
  json: { type: 'string' },
} as const;

/** Each in a process of its own; other options (--steps, --repeats) go to `calotype bench picture`. */
export function benchBudgets(args: readonly string[]): void {
  const { values, rest } = readOwnOptions(args, OWN_OPTIONS);
  const { model } = values;
  if (typeof model !== 'string')
    throw new Error('--model names the folder of a model; bench/make-model.py makes one');
  const how = ['--backend', 'webgpu'];
  const base = openDeviceBytes(how);
  const rows: Row[] = [];
  for (const budget of String(values.budget).split(',')) {
    const [bytes, lossy] = budget.split('+');
    const within = bytes === 'none' ? [] : ['--budget', bytes, ...(lossy === undefined ? [] : ['--lossy'])];
    try {
      const measured = watchingMemory(() =>
        bench(Figures, ['picture', '--model', model, ...how, ...within, ...rest]),
      );
      print(`${budget}\n${measured.result.text}\n`);
      rows.push({ budget, bytes: measured.bytes, figures: measured.result.figures });
    } catch (error) {
      rows.push({ budget, error: error instanceof Error ? error.message : String(error) });
    }
    const data = { model, card: nvidiaCard(), date: new Date().toISOString(), openDeviceBytes: base, rows };
    if (values.json !== undefined) writeFileSync(String(values.json), `${JSON.stringify(data, null, 1)}\n`);
  }
  print(`${model} on ${rows[0]?.figures?.backend ?? 'nothing'} (${nvidiaCard() ?? 'no NVIDIA card'})`);
  print(formatRows(rows, base));
  if (base !== undefined)
    print(`A device that is open and holds nothing takes ${megabytes(base)}, which are not counted above.`);
}

/** `npm run bench -- open-device`: opens a device and closes it again, for its own share of the card's memory to be seen. */
export async function benchOpenDevice(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { backend: { type: 'string' }, adapter: { type: 'string' } },
  });
  const backend = await openBackend(backendsOf(readBackend(values)));
  await backend.idle();
  await new Promise((resolve) => setTimeout(resolve, 500));
  print(JSON.stringify({ backend: backend.description }));
  backend.dispose();
}

function openDeviceBytes(how: readonly string[]): number | undefined {
  if (nvidiaCard() === undefined) return undefined;
  const { bytes, result } = watchingMemory(() =>
    run(process.execPath, [process.argv[1], 'open-device', ...how]),
  );
  print(`${JSON.stringify(lastLine(result.stdout))} takes ${megabytes(bytes)}`);
  return bytes;
}

function formatRows(rows: readonly Row[], base: number | undefined): string {
  const first = rows[0]?.figures;
  const times = (seconds: number | undefined, whole: number | undefined): string =>
    seconds === undefined || whole === undefined ? '' : `${(seconds / whole).toFixed(2)}x`;
  const header = [
    'budget',
    'by the driver',
    'own count',
    'host',
    'ms a step',
    '',
    'picture, s',
    '',
    'first, s',
  ];
  return table([
    header,
    ...rows.map(({ budget, bytes, figures, error }) => [
      budget,
      megabytes(bytes === undefined ? undefined : bytes - (base ?? 0)),
      megabytes(figures?.memory?.peakDeviceBytes),
      megabytes(figures?.memory?.peakHostBytes),
      figures === undefined ? (error ?? '') : (1000 * figures.step).toFixed(1),
      times(figures?.step, first?.step),
      figures?.warm.toFixed(2) ?? '',
      times(figures?.warm, first?.warm),
      figures?.cold.toFixed(1) ?? '',
    ]),
  ]);
}
