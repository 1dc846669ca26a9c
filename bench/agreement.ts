/**
 * @file `npm run bench -- agreement`: one denoising step of whole models with random weights, by calotype and by diffusers.
 *
 * bench/torch-agreement.py makes the models from published configurations, saves them as diffusers' folders and runs them in
 * float32 and float16; calotype loads the folders with its own loaders. What is compared is the networks' output, both
 * rows of guidance combined, and for some the decoded picture.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { table } from '../cli/src/table.ts';
import { StepFigures } from './agreement-step.ts';
import { benchModel } from './models.ts';
import {
  findPython,
  inFolder,
  lastLine,
  megabytes,
  nvidiaCard,
  readOwnOptions,
  print,
  run,
} from './processes.ts';

/** The most that a step may be off, as a normalised mean squared error. */
const BOUND = 1e-3;

const ALL = 'sd15,sd21,sdxl,sdxl-refiner,ssd-1b,pixart,sd15+controlnet,sdxl+controlnet';
/** Models whose pictures are compared, too. */
const DECODED = ['sd15', 'sdxl'];

/** What bench/torch-agreement.py takes of a model. */
interface ModelEntry {
  readonly folder: string;
  readonly base?: string;
  readonly size?: number;
  readonly controlnet: boolean;
  readonly decodes: boolean;
}

const TorchFigures = v.looseObject({
  name: v.string(),
  error: v.optional(v.string()),
  step_nmse: v.optional(v.number()),
  step_deviation: v.optional(v.number()),
  step_bytes: v.nullish(v.number()),
  picture_nmse: v.optional(v.number()),
  picture_bytes: v.nullish(v.number()),
});
type TorchFigures = v.InferOutput<typeof TorchFigures>;

const OWN_OPTIONS = {
  model: { type: 'string', default: ALL },
  backend: { type: 'string', default: 'webgpu' },
  base: { type: 'string' },
  size: { type: 'string' },
  json: { type: 'string' },
} as const;

/** Compares models one after the other; other options (--dtype, --adapter) go to `agreement-step`. */
export function benchAgreement(args: readonly string[]): void {
  const { values, rest } = readOwnOptions(args, OWN_OPTIONS);
  const { base, size } = values;
  const shared = {
    ...(typeof base === 'string' && { base }),
    ...(typeof size === 'string' && { size: Number(size) }),
  };
  const names = String(values.model).split(',');
  const python = findPython();
  if (python === undefined) throw new Error('there is nothing to compare with');
  inFolder((folder) => {
    const place = (name: string): string => join(folder, name.replaceAll(/[^\w.-]/g, '_'));
    const entries = names.map((name) => ({ name, ...entryOf(name), ...shared, output: place(name) }));
    const { stdout } = run(python, ['bench/torch-agreement.py', JSON.stringify(entries)]);
    const torch = stdout.split('\n').map((line) => v.parse(TorchFigures, JSON.parse(line)));
    const rows: Row[] = [];
    for (const [i, { name, output }] of entries.entries()) {
      for (const backend of String(values.backend).split(','))
        rows.push({ name, backend, torch: torch[i], ...ownStep(output, ['--backend', backend, ...rest]) });
      rmSync(output, { recursive: true, force: true });
      // Written as it goes, since models of this size take a while.
      if (values.json !== undefined)
        writeFileSync(String(values.json), JSON.stringify(dataOf(rows), null, 1));
      print(formatRows(rows.filter((row) => row.name === name)));
    }
    print(
      `\nOne step of ${nvidiaCard() ?? 'no NVIDIA card'}: normalised mean squared errors to diffusers in float32`,
    );
    print(formatRows(rows));
    const failed = rows.filter((row) => !isWithin(row));
    if (failed.length > 0)
      throw new Error(`these are off by more than ${BOUND}: ${failed.map(({ name }) => name).join(', ')}`);
  });
}

/** A model by its name or the folder of its configurations, and whether a ControlNet is beside it. */
function entryOf(name: string): ModelEntry {
  const [model, controlnet] = name.split('+');
  const traits = { controlnet: controlnet !== undefined, decodes: DECODED.includes(name) };
  return existsSync(model) ? { folder: model, ...traits } : { ...benchModel(model), ...traits };
}

/** A model on a backend. */
interface Row {
  readonly name: string;
  readonly backend: string;
  readonly torch: TorchFigures;
  readonly own: v.InferOutput<typeof StepFigures> | undefined;
  readonly error?: string;
}

function ownStep(folder: string, options: readonly string[]): Pick<Row, 'own' | 'error'> {
  try {
    const { stdout } = run(process.execPath, [process.argv[1], 'agreement-step', folder, ...options]);
    return { own: v.parse(StepFigures, lastLine(stdout)) };
  } catch (error) {
    return { own: undefined, error: error instanceof Error ? error.message : String(error) };
  }
}

function isWithin({ own }: Row): boolean {
  return (
    own !== undefined && own.step.nmse <= BOUND && (own.picture === undefined || own.picture.nmse <= BOUND)
  );
}

function dataOf(rows: readonly Row[]): object {
  return { card: nvidiaCard(), date: new Date().toISOString(), bound: BOUND, rows };
}

function formatRows(rows: readonly Row[]): string {
  const error = (nmse: number | undefined): string => (nmse === undefined ? '' : nmse.toExponential(1));
  const header = [
    '',
    'on',
    'step',
    'torch f16',
    'memory',
    'torch',
    'picture',
    'torch f16',
    'memory',
    'torch',
  ];
  return table(
    [
      header,
      ...rows.map(({ name, backend, torch, own, error: problem }) => [
        name,
        own?.backend ?? backend,
        problem === undefined ? error(own?.step.nmse) : 'failed',
        torch.error === undefined ? error(torch.step_nmse) : 'failed',
        megabytes(own?.step.driverBytes),
        megabytes(torch.step_bytes ?? undefined),
        error(own?.picture?.nmse),
        error(torch.picture_nmse),
        megabytes(own?.picture?.driverBytes),
        megabytes(torch.picture_bytes ?? undefined),
      ]),
    ],
    [0, 1],
  );
}
