/** @file Shaders' modules, and the shader preprocessor: conditions, loops, constants, uniforms, and what it finds out about a shader. */

import { describe, expect, test } from 'vitest';
import { KernelError } from '../../src/errors.ts';
import { assembleShader, type Constants } from '../../src/kernels/wgsl.ts';
import { shaderModule } from '../../tools/wgsl-plugin.ts';

const lines = (source: string, constants: Constants = {}): string[] =>
  assembleShader('test', source, constants, {}).code.split('\n');

test("a shader's module imports what it includes, and leaves out what is for readers", () => {
  const source =
    '// Doubles.\n#include "lib/a.wgsl"\n\n  let x = a - -b / c; // x\n#if X == y\n  #include "b.wgsl"\n#endif\n';
  expect(shaderModule(source).split('\n')).toEqual([
    'import included1 from "./lib/a.wgsl";',
    'import included2 from "./b.wgsl";',
    String.raw`export default "" + included1 + "\nlet x=a - -b / c;\n#if X == y\n" + included2 + "\n#endif";`,
  ]);
});

describe('conditions', () => {
  const source =
    '#if A\na\n#elif MODE == fast\nfast\n#if !B\nnot b\n#endif\n#else\nelse\n#endif\n#if MODE != fast\nslow\n#endif';
  test.each([
    [{ A: true, B: true, MODE: 'fast' }, ['a']],
    [{ A: false, B: true, MODE: 'fast' }, ['fast']],
    [{ A: false, B: false, MODE: 'fast' }, ['fast', 'not b']],
    [{ A: false, B: false, MODE: 'other' }, ['else', 'slow']],
  ])('%j', (constants, expected) => {
    expect(lines(source, constants)).toEqual(expected);
  });

  test('compare numbers', () => {
    expect(lines('#if N == 1\none\n#else\nmany\n#endif', { N: 1 })).toEqual(['one']);
  });
});

test('loops are written out, nested ones too, and may be empty', () => {
  expect(lines('#for i 2\n#for j N\nx$i_$j = $iu;\n#endfor\n#endfor', { N: 2 }).slice(0, 4)).toEqual([
    'x0_0 = 0u;',
    'x0_1 = 0u;',
    'x1_0 = 1u;',
    'x1_1 = 1u;',
  ]);
  expect(lines('#for i NONE\nx$i\n#endfor\nend', { NONE: 0 })).toEqual(['end']);
});

test('constants in use are declared with their types; comments and unused ones are dropped', () => {
  const constants = {
    N: 3,
    OFF: -1,
    EPS: { float: 1e-5 },
    ONE: { float: 1 },
    TABLE: Float32Array.of(1, 0.5),
    UNUSED: 4,
  };
  expect(lines('// a comment with UNUSED\nf(N, OFF, EPS, ONE, TABLE); // N', constants)).toEqual([
    'const N: u32 = 3u;',
    'const OFF: i32 = -1i;',
    `const EPS: f32 = ${Math.fround(1e-5)}f;`,
    'const ONE: f32 = 1.0f;',
    'const TABLE = array<f32, 2>(1.0f, 0.5f);',
    'f(N, OFF, EPS, ONE, TABLE);',
  ]);
});

test('constants may become uniforms, so that their values make no variant', () => {
  const source =
    'struct Dims { rows: u32 }\n@group(0) @binding(0) var<uniform> dims: Dims;\nf(N, dims.rows);';
  const shader = (n: number) => assembleShader('test', source, { N: n }, {}, ['N']);
  expect(shader(3).dims).toEqual(['N', 'rows']);
  expect(shader(3).code).toContain('f(dims.N, dims.rows);');
  expect(shader(3).code).toBe(shader(4).code);
});

test('directives come first; types become aliases and f16 is enabled where it is used', () => {
  const source = 'fn f() {}\nenable subgroups;\n@group(0) @binding(2) var<storage, read> x: array<x_t>;';
  const shader = assembleShader('test', source, {}, { x: 'f16', y: 'f32' });
  expect(shader.code.split('\n').slice(0, 3)).toEqual([
    'enable subgroups;',
    'enable f16;',
    'alias x_t = f16;',
  ]);
  expect(shader.code).not.toContain('y_t');
  expect(shader.bindings).toEqual([{ name: 'x', index: 2, type: 'read-only-storage' }]);
});

test.each([
  ['#if A\na', 'never closes'],
  ['#if A\n#endfor', 'closes'],
  ['#if TYPO\n#endif', 'TYPO'],
  ['#include "lib/none.wgsl"', 'stray'],
  ['#endif', 'stray'],
  ['#for i MANY\n#endfor', 'MANY'],
])('%j is refused', (source, message) => {
  expect(() => lines(source, { A: true })).toThrow(KernelError);
  expect(() => lines(source, { A: true })).toThrow(message);
});
