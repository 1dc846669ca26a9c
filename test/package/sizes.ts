/** @file How much a page loads of calotype, minified and compressed as servers send it: bundled by Vite, as an application is. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';

const DRAWING = 'text to image on WebGPU, all that is loaded';

/** The most bytes, gzip, that each part may take. */
export const LIMITS = {
  [DRAWING]: 120_000,
  'kernels on matrices, on bytes, of software adapters': 19_000,
  'the CPU backend besides, without WebAssembly': 14_000,
  'WebAssembly kernels (one of two builds is loaded)': 22_000,
  'prompts in webui syntax': 3_000,
  'LoRA files': 12_000,
  'textual inversions': 3_000,
  'image to image, inpainting, control images': 4_000,
  'single-file checkpoints, other VAEs, ControlNets': 22_000,
  'IP-Adapters, hires fix': 10_000,
  'PixArt, and tokenizers of other classes than CLIP’s': 22_000,
  'budgets of memory, tiles, several backends': 14_000,
  'previews, embeddings, continuous batches, seeds of CUDA, shards, feature caching': 9_000,
  'calotype/worker on the page’s side': 2_000,
};
type Part = keyof typeof LIMITS;

/** Modules of the library that a page loads only when it asks for them, by the beginnings of their chunks' names. */
const LATER: readonly (readonly [RegExp, Part])[] = [
  [
    /^(matrix|int8|software)-kernels|^lacks|^launch-parts/,
    'kernels on matrices, on bytes, of software adapters',
  ],
  [/^_wasm_/, 'WebAssembly kernels (one of two builds is loaded)'],
  [/^prompts/, 'prompts in webui syntax'],
  [/^lora-files|^weight-refresh/, 'LoRA files'],
  [/^textual-inversions/, 'textual inversions'],
  [/^image-latents|^padded-crop|^repaint|^step-change/, 'image to image, inpainting, control images'],
  [
    /^control-networks|^open-controlnets|^standalone-|^vae-(option|upcast)|^from-single-file|^tiny-vae/,
    'single-file checkpoints, other VAEs, ControlNets',
  ],
  [/^pixart-network|^load-pixart|^other-tokenizers/, 'PixArt, and tokenizers of other classes than CLIP’s'],
  [/^open-ip-adapters|^hires/, 'IP-Adapters, hires fix'],
  [/^open-/, 'the CPU backend besides, without WebAssembly'],
  [
    /^residency|^weight-stream|^device-memory|^estimate-demand|^memory-option|^vae-tiles|^float8|^component-backends/,
    'budgets of memory, tiles, several backends',
  ],
  [
    /^preview|^encode-prompt-|^count-tokens|^batch-loop|^cached-session|^guidance-embedding|^philox|^sharded-weights/,
    'previews, embeddings, continuous batches, seeds of CUDA, shards, feature caching',
  ],
];
const LOADERS = readFileSync(new URL('../../src/schedulers/load.ts', import.meta.url), 'utf8');
/** Schedulers, of which a page loads its model's own: the files that load.ts imports. */
const SCHEDULER = new RegExp(
  [...LOADERS.matchAll(/import\('\.\/([\w-]+)\.ts'\)/g)].map(([, stem]) => `^${stem}-`).join('|'),
);
/** Measured only with `calotype bench`, or needed only where files cannot be read or used. */
const NEVER = /^refused-(scheduler|adapter)-|^missing-gpu-|^peak-|^profile-|^missing-weights-|^file-sniff-/;

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
    if (isEntry) roots.unshift([fileName, DRAWING]);
    else if (part) roots.push([fileName, part]);
  }
  const schedulers = [...chunks.values()].flatMap(({ fileName, name }) =>
    SCHEDULER.test(name) ? [fileName] : [],
  );
  if (schedulers.length === 0) throw new Error('no scheduler is a chunk of its own');
  const counted = new Set<string>();
  /** What is loaded with a chunk and was not before: all that it imports, and all that it may but what is of another part. */
  const take = (fileName: string): Chunk[] => {
    const chunk = chunks.get(fileName);
    if (!chunk || counted.has(fileName)) return [];
    counted.add(fileName);
    const later = chunk.dynamicImports.filter((next) => {
      const { name = '' } = chunks.get(next) ?? {};
      return ![...LATER.map(([pattern]) => pattern), SCHEDULER, NEVER].some((pattern) => pattern.test(name));
    });
    return [chunk, ...[...chunk.imports, ...later].flatMap(take)];
  };
  /** The same of a scheduler, which others may have to load, too. */
  const peek = (fileName: string): Chunk[] => {
    const before = new Set(counted);
    const taken = take(fileName);
    for (const { fileName: name } of taken) if (!before.has(name)) counted.delete(name);
    return taken;
  };
  const bytesOf = (taken: readonly Chunk[]): number =>
    taken.reduce((sum, { code }) => sum + gzipSync(code).length, 0);
  // A chunk counts for the first part that needs it, so the order of `roots` matters: the entry comes first.
  for (const [fileName, part] of roots) {
    const taken = take(fileName);
    // Of the two builds of the kernels a page loads one.
    sizes[part] = (chunks.get(fileName)?.name ?? '').startsWith('_wasm_')
      ? Math.max(sizes[part], bytesOf(taken))
      : sizes[part] + bytesOf(taken);
    if (part === DRAWING) sizes[part] += Math.max(...schedulers.map((name) => bytesOf(peek(name))));
  }
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
