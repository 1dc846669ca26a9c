/** @file Reads the argument structs of `native-cuda/kernels/*.h`, for comparison with their mirrors in TypeScript. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const NATIVE_CUDA = fileURLToPath(new URL('../../native-cuda', import.meta.url));

/** The names of C types in launch types. */
const TYPES: Readonly<Record<string, string>> = { int32_t: 'i32', int64_t: 'i64', float: 'f32' };

/** Fields of the struct that each `calotype_<kernel>` takes, nested structs written flat. */
export function readKernelStructs(): Map<string, Record<string, string>> {
  const folder = join(NATIVE_CUDA, 'kernels');
  const text = readdirSync(folder)
    .filter((name) => name.endsWith('.h'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n')
    .replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '');
  const bodies = new Map(
    [...text.matchAll(/typedef struct (\w+) \{([^}]*)\}/g)].map(([, name, body]) => [name, body]),
  );
  const fieldsOf = (name: string): [string, string][] =>
    (bodies.get(name) ?? '').split(';').flatMap((declaration): [string, string][] => {
      const parts = /^\s*(?:const\s+)?(\w+)([\s*][\s\S]*)$/.exec(declaration);
      if (!parts) return [];
      const [, type, declarators] = parts;
      if (bodies.has(type)) return fieldsOf(type);
      // `float* y` and `void *q, *k` alike.
      return declarators
        .split(',')
        .map((declarator) => [
          camelCase(declarator.replaceAll('*', '').trim()),
          declaration.includes('*') ? 'pointer' : (TYPES[type] ?? type),
        ]);
    });
  return new Map(
    [...text.matchAll(/int calotype_(\w+)\(const (\w+)\s*\*/g)].map(([, kernel, struct]) => [
      kernel,
      Object.fromEntries(fieldsOf(struct)),
    ]),
  );
}

function camelCase(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}
