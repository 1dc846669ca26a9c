/**
 * @file `npm run bench -- PRESET`: runs calotype and, where it can be had, torch in the same session.
 *
 *   unet --model sd15|sd21|sdxl|starter [options of `calotype bench unet`]   a denoising step, torch's on the same card
 *   cpu                                                                      the README's first command without a GPU
 *
 * torch is that of $PYTHON or python3, else of bench/.venv, which is made with pip when it is missing.
 */
import { spawnSync, type SpawnSyncOptions } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CALOTYPE = join(ROOT, 'cli/bin/calotype.js');
const VENV = join(ROOT, 'bench/.venv');
const PROMPT = 'a red apple, 3D';
const STARTER = 'models/emoji-starter';
const MODELS: Readonly<Record<string, string>> = {
  sd15: 'test/fixtures/configs/sd15',
  sd21: 'test/fixtures/configs/sd21',
  sdxl: 'test/fixtures/configs/sdxl-base-1.0',
  starter: STARTER,
};

const PictureFigures = v.object({
  backend: v.string(),
  warm: v.number(),
  peakBytes: v.number(),
});
const StepFigures = v.object({ throughputMs: v.number() });
const TorchFigures = v.object({
  torch: v.string(),
  threads: v.number(),
  cold_s: v.number(),
  warm_s: v.number(),
});

/** Runs a program to its end; throws when it fails. */
function run(
  program: string,
  args: readonly string[],
  stderr: 'inherit' | 'ignore' = 'inherit',
): { readonly stdout: string; readonly seconds: number } {
  const begin = performance.now();
  const { status, stdout, error } = spawnSync(program, args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', stderr],
  });
  if (error || status !== 0) throw new Error(`${program} ${args.join(' ')} failed`, { cause: error });
  return { stdout: stdout.trimEnd(), seconds: (performance.now() - begin) / 1000 };
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** What `calotype bench` prints, and its figures. */
function bench<T extends v.GenericSchema>(
  schema: T,
  args: readonly string[],
): { readonly text: string; readonly figures: v.InferOutput<T> } {
  const folder = mkdtempSync(join(tmpdir(), 'calotype-bench-'));
  try {
    const file = join(folder, 'figures.json');
    const { stdout } = run(process.execPath, [CALOTYPE, 'bench', ...args, '--json', file]);
    return { text: stdout, figures: v.parse(schema, JSON.parse(readFileSync(file, 'utf8'))) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether a Python can do something. */
function can(python: string, program: string): boolean {
  const options: SpawnSyncOptions = { stdio: 'ignore' };
  return spawnSync(python, ['-c', program], options).status === 0;
}

/** A Python that has torch and diffusers, made here if need be; undefined, and said so, if it cannot be had. */
function findPython(): string | undefined {
  const needs = 'import torch, diffusers, transformers';
  const own = join(VENV, 'bin/python');
  const found = [process.env['PYTHON'], 'python3', own].find(
    (python) => python !== undefined && can(python, needs),
  );
  if (found !== undefined) return found;
  try {
    print(`installing torch and diffusers into ${VENV}`);
    if (!existsSync(own)) run('python3', ['-m', 'venv', VENV]);
    run(own, ['-m', 'pip', 'install', '--quiet', 'torch', 'diffusers==0.42.1', 'transformers']);
    run(own, ['-c', needs]);
    return own;
  } catch (error) {
    print(`torch is not compared: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}

/** A UNet's step: calotype's table of ops, then torch's times. */
function benchUNet(args: readonly string[]): void {
  const at = args.indexOf('--model');
  const name = at < 0 ? 'sd15' : (args[at + 1] ?? '');
  const model = MODELS[name];
  if (model === undefined) throw new Error(`--model takes ${Object.keys(MODELS).join(', ')}`);
  const rest = at < 0 ? args : [...args.slice(0, at), ...args.slice(at + 2)];
  print(bench(StepFigures, ['unet', '--model', model, ...rest]).text);
  const python = findPython();
  if (python === undefined) return;
  if (!can(python, 'import torch; assert torch.cuda.is_available()'))
    print('torch is not compared: it sees no CUDA card');
  else print(run(python, ['bench/torch-unet.py', model, 'eager', 'graph']).stdout);
}

/** The README's first command on the CPU backend: cold, warm, by instructions and by threads, beside torch. */
function benchCpu(): void {
  const threads = availableParallelism();
  print(`${cpus()[0]?.model}, ${threads} hardware threads, Node ${process.versions.node}`);
  const folder = mkdtempSync(join(tmpdir(), 'calotype-bench-'));
  try {
    const output = join(folder, 'apple.png');
    const generate = [CALOTYPE, 'generate', PROMPT, '--backend', 'cpu', '-o', output];
    const cold = Array.from({ length: 3 }, () => run(process.execPath, generate, 'ignore').seconds);
    print(`calotype generate, a cold process: ${cold.map(seconds).join(', ')}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  for (const simd of ['relaxed-simd', 'simd128']) {
    const { figures } = bench(PictureFigures, ['picture', '--backend', 'cpu', '--simd', simd]);
    const memory = `${(figures.peakBytes / 1e6).toFixed(0)} MB resident`;
    print(`calotype, ${figures.backend}, pictures after the first: ${seconds(figures.warm)}, ${memory}`);
  }
  const python = findPython();
  if (python !== undefined) {
    const { stdout } = run(python, ['bench/torch-picture.py', STARTER, PROMPT], 'ignore');
    const torch = v.parse(TorchFigures, JSON.parse(stdout.slice(stdout.lastIndexOf('\n') + 1)));
    print(
      `torch ${torch.torch}, ${torch.threads} threads: cold process ${seconds(torch.cold_s)}, ` +
        `pictures after the first ${seconds(torch.warm_s)}`,
    );
  }
  print('\nthreads  ms a step');
  const step = (count: number): { text: string; figures: { throughputMs: number } } =>
    bench(StepFigures, ['unet', '--backend', 'cpu', '--steps', '5', '--threads', String(count)]);
  for (let count = 1; count <= threads; count *= 2)
    print(`${String(count).padStart(7)}  ${step(count).figures.throughputMs.toFixed(1).padStart(9)}`);
  print(`\n${step(1).text}`);
}

const [preset, ...args] = process.argv.slice(2);
try {
  if (preset === 'unet') benchUNet(args);
  else if (preset === 'cpu') benchCpu();
  else throw new Error('the presets are unet and cpu');
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
