/** @file How much a page loads of calotype, minified and compressed as servers send it: bundled by Vite, as an application is. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';

/** The most bytes, gzip, that each part may take. */
export const LIMITS = {
  'text to image on WebGPU, all that is loaded': 160_000,
  'kernels on matrices, kernels on bytes': 22_000,
  'the CPU backend besides, without WebAssembly': 20_000,
  'WebAssembly kernels (one of two builds is loaded)': 26_000,
  'LoRA files': 7_000,
  'single-file checkpoints, other VAEs, ControlNets': 14_000,
  'IP-Adapters, hires fix': 8_000,
  'PixArt’s text encoder': 6_000,
  'textual inversions': 2_000,
  'budgets of memory, components on other backends': 6_000,
  'image to image, inpainting, control images': 8_000,
  'calotype/worker on the page’s side': 3_000,
};
type Part = keyof typeof LIMITS;

/** Modules of the library that a page loads only when it asks for them, by the beginnings of their chunks' names. */
const LATER: readonly (readonly [RegExp, Part])[] = [
  [/^matrix-kernels|^int8-kernels/, 'kernels on matrices, kernels on bytes'],
  [/^_wasm_/, 'WebAssembly kernels (one of two builds is loaded)'],
  [
    /^open-controlnets|^standalone-|^vae-option|^from-single-file/,
    'single-file checkpoints, other VAEs, ControlNets',
  ],
  [/^load-pixart/, 'PixArt’s text encoder'],
  [/^open-ip-adapters|^hires/, 'IP-Adapters, hires fix'],
  [/^open-/, 'the CPU backend besides, without WebAssembly'],
  [/^lora-file/, 'LoRA files'],
  [/^textual-inversion/, 'textual inversions'],
  [/^memory-option|^residency|^component-/, 'budgets of memory, components on other backends'],
  [/^image-latents|^padded-crop|^control-inputs/, 'image to image, inpainting, control images'],
];
/** Measured only with `calotype bench`. */
const NEVER = /^peak-/;

const PROGRAM = `import { DiffusionPipeline, webgpu } from 'calotype';
const pipe = await DiffusionPipeline.fromPretrained('owner/model', { backends: [webgpu()] });
const { images } = await pipe({ prompt: 'a red apple' });
console.log(images);`;
const WORKER_PROGRAM = `import { DiffusionWorker } from 'calotype/worker';
console.log(DiffusionWorker);`;

/** Sizes, and all the code of the first program. @param app a folder with calotype in its node_modules */
export async function measureSizes(
  app: string,
): Promise<{ readonly sizes: Record<Part, number>; readonly code: string }> {
  const chunks = await bundle(app, PROGRAM);
  const sizes = Object.fromEntries(Object.keys(LIMITS).map((part) => [part, 0])) as Record<Part, number>;
  const roots: [string, Part][] = [];
  for (const { fileName, name, isEntry } of chunks.values()) {
    const part = LATER.find(([pattern]) => pattern.test(name))?.[1];
    if (isEntry) roots.unshift([fileName, 'text to image on WebGPU, all that is loaded']);
    else if (part) roots.push([fileName, part]);
  }
  const counted = new Set<string>();
  // A chunk counts for the first part that needs it, so the order of `roots` matters: the entry comes first.
  const count = (fileName: string, part: Part): void => {
    const chunk = chunks.get(fileName);
    if (!chunk || counted.has(fileName)) return;
    counted.add(fileName);
    const size = gzipSync(chunk.code).length;
    // Of the two builds of the kernels a page loads one.
    sizes[part] = chunk.name.startsWith('_wasm_') ? Math.max(sizes[part], size) : sizes[part] + size;
    for (const next of chunk.imports) count(next, part);
    for (const next of chunk.dynamicImports) {
      const { name = '' } = chunks.get(next) ?? {};
      if (!LATER.some(([pattern]) => pattern.test(name)) && !NEVER.test(name)) count(next, part);
    }
  };
  for (const [fileName, part] of roots) count(fileName, part);
  for (const chunk of (await bundle(app, WORKER_PROGRAM)).values())
    if (chunk.isEntry) sizes['calotype/worker on the page’s side'] = gzipSync(chunk.code).length;
  return { sizes, code: [...chunks.values()].map(({ code }) => code).join('\n') };
}

/** The table for people. */
export function sizesTable(sizes: Readonly<Record<string, number>>): string {
  const rows = Object.entries(sizes).map(([part, size]) => `| ${part} | ${(size / 1000).toFixed(1)} kB |`);
  return ['| part | gzip |', '| --- | --- |', ...rows].join('\n');
}

interface Chunk {
  readonly fileName: string;
  readonly name: string;
  readonly isEntry: boolean;
  readonly code: string;
  readonly imports: readonly string[];
  readonly dynamicImports: readonly string[];
}

async function bundle(app: string, program: string): Promise<ReadonlyMap<string, Chunk>> {
  const entry = join(app, 'program.js');
  await writeFile(entry, program);
  const built = await build({
    root: app,
    configFile: false,
    logLevel: 'error',
    worker: { format: 'es' },
    build: {
      write: false,
      target: 'es2022',
      modulePreload: false,
      rolldownOptions: { input: entry },
    },
  });
  const [output] = [built].flat();
  if (!('output' in output)) throw new Error('Vite watches instead of building');
  return new Map(
    output.output.filter((part) => part.type === 'chunk').map((chunk) => [chunk.fileName, chunk]),
  );
}
