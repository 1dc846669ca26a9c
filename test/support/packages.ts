/** @file The packages of this repository, packed as npm would publish them from the present build. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** All packages, by their folders. */
export const PACKAGES = {
  calotype: '.',
  '@calotype/cli': 'cli',
  '@calotype/cuda': 'native-cuda',
  '@calotype/cuda-linux-x64': 'native-cuda/linux-x64',
  '@calotype/emoji-starter': 'models/emoji-starter',
  '@calotype/server': 'server',
} as const;
export type PackageName = keyof typeof PACKAGES;

const packedSchema = v.tuple([
  v.object({
    filename: v.string(),
    name: v.string(),
    size: v.number(),
    files: v.array(v.object({ path: v.string() })),
  }),
]);

/** A packed package. */
export interface Packed {
  /** Path of the tarball. */
  readonly tarball: string;
  /** Bytes of it. */
  readonly size: number;
  /** Paths of the files in it. */
  readonly files: readonly string[];
}

/** Packs a package into a folder; it is not built again. */
export async function pack(name: PackageName, folder: string): Promise<Packed> {
  const { stdout } = await promisify(execFile)(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--pack-destination', folder],
    { cwd: join(ROOT, PACKAGES[name]) },
  );
  const [{ filename, size, files }] = v.parse(packedSchema, JSON.parse(stdout));
  return {
    // npm before 9 gave scoped names here as they are written.
    tarball: join(folder, filename.replace('@', '').replace('/', '-')),
    size,
    files: files.map(({ path }) => path),
  };
}
