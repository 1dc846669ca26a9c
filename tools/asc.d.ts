/** @file The part of AssemblyScript's API that the build uses: its own declarations bring globals that shadow ECMAScript's. */

export interface APIOptions {
  readFile?(name: string, baseDir: string): string | null;
  writeFile?(name: string, contents: string | Uint8Array, baseDir: string): void;
  listFiles?(directory: string, baseDir: string): string[] | null;
  stderr?: { write(text: string | Uint8Array): void };
}

export const version: string;

/** Compiles as the command `asc` does, with its arguments. */
export function main(argv: string[], options: APIOptions): Promise<{ readonly error: Error | null }>;
