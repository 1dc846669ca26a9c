/** @file CUDA's compiler and runtime from PyPI, in an ignored folder: no GPU, driver or toolkit is needed. */

import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * CUDA 13.0 and not later, since every later one asks for a newer driver; its runtime needs driver 580. nvcc comes in
 * wheels since CUDA 13.
 */
const PACKAGES = [
  'nvidia-cuda-nvcc==13.0.88',
  'nvidia-nvvm==13.0.88',
  'nvidia-cuda-crt==13.0.88',
  'nvidia-cuda-runtime==13.0.96',
  'nvidia-cuda-cccl==13.0.85',
];

/** Where things are in an installed toolkit. */
export interface Toolkit {
  readonly nvcc: string;
  readonly include: readonly string[];
  readonly runtime: string;
}

/** Installs the packages into `folder` if they are not there. Needs Python 3 with pip. */
export async function installToolkit(folder: string): Promise<Toolkit> {
  const marker = join(folder, 'packages.txt');
  const wanted = `${PACKAGES.join('\n')}\n`;
  if ((await readFile(marker, 'utf8').catch(() => '')) !== wanted) {
    process.stdout.write(`installing ${PACKAGES.join(', ')}\n`);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    const python = process.env['PYTHON'] ?? 'python3';
    await run(python, ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', folder, ...PACKAGES]);
    await writeFile(marker, wanted);
  }
  const cuda = join(folder, 'nvidia/cu13');
  return {
    nvcc: join(cuda, 'bin/nvcc'),
    include: [join(cuda, 'include'), join(cuda, 'include/cccl')],
    runtime: join(cuda, 'lib/libcudart_static.a'),
  };
}
