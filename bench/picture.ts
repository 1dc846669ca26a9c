/** @file `npm run bench -- picture`: whole pictures of a model on a GPU, the first and later ones, beside diffusers. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { decimal, table } from '../cli/src/table.ts';
import {
  bench,
  findPython,
  lastLine,
  nvidiaCard,
  otherOptions,
  print,
  run,
  watchingMemory,
} from './processes.ts';

const Figures = v.looseObject({ cold: v.number(), warm: v.number(), step: v.number() });
const TorchFigures = v.looseObject({ torch: v.string(), cold_s: v.number(), warm_s: v.number() });

/** A line of the comparison. */
interface Row {
  readonly name: string;
  readonly cold: number;
  readonly warm: number;
  /** Of the card's memory. */
  readonly bytes: number | undefined;
  readonly figures: object;
}

const OWN_OPTIONS = {
  model: { type: 'string', default: 'models/emoji-starter' },
  peers: { type: 'string' },
  json: { type: 'string' },
} as const;

/** Each in a process of its own; other options go to `calotype bench picture`. */
export function benchPictures(args: readonly string[]): void {
  const { values, tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    options: OWN_OPTIONS,
  });
  const rest = otherOptions(tokens, OWN_OPTIONS);
  const model = String(values.model);
  const options = ['--model', model, '--backend', 'webgpu', ...rest];
  const own = watchingMemory(() => bench(Figures, ['picture', ...options]));
  print(`${own.result.text}\n`);
  const { cold, warm } = own.result.figures;
  const rows: Row[] = [{ name: 'calotype', cold, warm, bytes: own.bytes, figures: own.result.figures }];
  const python = values.peers === 'none' || nvidiaCard() === undefined ? undefined : findPython();
  if (python === undefined) print('torch is not compared: not asked for, or not there');
  else {
    const torch = [
      'bench/torch-picture.py',
      model,
      'a red apple, 3D',
      '--device',
      'cuda',
      '--dtype',
      'float16',
    ];
    const { result, bytes } = watchingMemory(() => run(python, torch).stdout);
    const figures = v.parse(TorchFigures, lastLine(result));
    rows.push({ name: `torch ${figures.torch}`, cold: figures.cold_s, warm: figures.warm_s, bytes, figures });
  }
  print(
    table([
      ['', 'first picture, s', 'later ones, s', "of the card's memory"],
      ...rows.map((row) => [
        row.name,
        row.cold.toFixed(2),
        row.warm.toFixed(2),
        row.bytes === undefined ? '' : `${decimal(row.bytes)}B`,
      ]),
    ]),
  );
  if (values.json !== undefined)
    writeFileSync(String(values.json), `${JSON.stringify({ model, card: nvidiaCard(), rows }, null, 1)}\n`);
}
