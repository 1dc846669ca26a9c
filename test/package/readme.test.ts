/** @file README's programs: each is TypeScript that compiles with the types that are published. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, test } from 'vitest';

const README = fileURLToPath(new URL('../../README.md', import.meta.url));
/** Where the programs would stand: `calotype` is found from there. */
const FOLDER = fileURLToPath(new URL('.', import.meta.url));

/** What the programs leave to their reader. */
const READERS = `
declare global {
  const signal: AbortSignal;
  const show: (images: unknown) => void;
  const onProgress: (progress: unknown) => void;
  const onStep: (step: unknown) => void;
}
export {};
`;

const OPTIONS: ts.CompilerOptions = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.asynciterable.d.ts'],
  types: [],
};

test("README's programs compile", { timeout: 120_000 }, () => {
  const blocks = [...readFileSync(README, 'utf8').matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code);
  expect(blocks.length).toBeGreaterThan(1);
  const files = new Map(blocks.map((code, i) => [`${FOLDER}readme-${i}.ts`, `${code}\nexport {};\n`]));
  files.set(`${FOLDER}readers.ts`, READERS);
  const host = ts.createCompilerHost(OPTIONS);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => files.has(name) || fileExists(name);
  host.getSourceFile = (name, ...rest) => {
    const code = files.get(name);
    return code === undefined
      ? getSourceFile(name, ...rest)
      : ts.createSourceFile(name, code, ts.ScriptTarget.ES2022);
  };
  const program = ts.createProgram([...files.keys()], OPTIONS, host);
  const problems = [...files.keys()].flatMap((name) =>
    ts.getPreEmitDiagnostics(program, program.getSourceFile(name)).map(({ file, start, messageText }) => {
      const { line } = file && start !== undefined ? file.getLineAndCharacterOfPosition(start) : { line: -1 };
      return `${file?.text.split('\n')[line]}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    }),
  );
  expect(problems).toEqual([]);
});
