/** @file `npm run bench -- cpu`: the README's first command on the CPU backend, beside torch. */
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { bench, CALOTYPE, findPython, inFolder, print, run } from './processes.ts';

const PROMPT = 'a red apple, 3D';
const STARTER = 'models/emoji-starter';

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

function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}

/** Cold, warm, by instructions and by threads. */
export function benchCpu(): void {
  const threads = availableParallelism();
  print(`${cpus()[0]?.model}, ${threads} hardware threads, Node ${process.versions.node}`);
  inFolder((folder) => {
    const output = join(folder, 'apple.png');
    const generate = [CALOTYPE, 'generate', PROMPT, '--backend', 'cpu', '-o', output];
    const cold = Array.from({ length: 3 }, () => run(process.execPath, generate, 'ignore').seconds);
    print(`calotype generate, a cold process: ${cold.map(seconds).join(', ')}`);
  });
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
