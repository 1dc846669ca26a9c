/**
 * @file The shader preprocessor: turns a file of `shaders/` and the constants of one variant into WGSL.
 *
 *     #if NAME, #if !NAME, #if NAME == word, #if NAME != word, #elif ..., #else, #endif
 *     #for i COUNT ... #endfor       repeats the lines with `$i` replaced by 0, 1, ... COUNT - 1
 *
 * Numbers become WGSL constants of the same name in front of the shader; booleans and words only steer `#if`.
 * `#include "lib/activation.wgsl"` is for the build, which imports that file (tools/wgsl-plugin.ts).
 * Everything that a variant depends on is in its text, so the text is the key under which it is compiled.
 */

import { KernelError } from '../errors.ts';
import type { DeviceDType } from '../tensor/dtype.ts';

/** A constant: integers become u32 (i32 if negative), `float` an f32, an array an `array<f32, n>`. */
export type Constant = number | boolean | string | { readonly float: number } | Float32Array;

/** Constants of a variant, by their names in the shader. */
export type Constants = Readonly<Record<string, Constant>>;

/** One variant of a shader, ready to be compiled. */
export interface Shader {
  readonly code: string;
  /** Its bindings, in the order of their declaration, all of group 0. */
  readonly bindings: readonly ShaderBinding[];
  /** Members of its `struct Dims` of u32, in order; empty if it has none. */
  readonly dims: readonly string[];
}

/** A binding that a shader declares. */
export interface ShaderBinding {
  readonly name: string;
  readonly index: number;
  readonly type: 'uniform' | 'read-only-storage' | 'storage';
}

function bug(shader: string, problem: string): KernelError {
  return new KernelError(problem, {
    file: `shader ${shader}`,
    remedy: 'This is a bug in the shader or its kernel file',
  });
}

/**
 * Assembles one variant.
 * @param types element types of its buffers; `x` becomes the alias `x_t`.
 * @param uniforms numbers among the constants that become members of `Dims` instead, so that their values make no variant.
 * @throws KernelError for unknown names and unbalanced directives.
 */
export function assembleShader(
  name: string,
  source: string,
  constants: Constants,
  types: Readonly<Record<string, DeviceDType>>,
  uniforms: readonly string[] = [],
): Shader {
  const lines = expand(name, source.split('\n'), constants);
  const isDirective = (line: string): boolean => /^(enable|requires|diagnostic)\b/.test(line);
  const directives = new Set(lines.filter(isDirective));
  const body = withUniforms(lines.filter((line) => !isDirective(line)).join('\n'), uniforms, constants);
  // An alias that is not used would only make equal shaders look different, and so would another order.
  const aliases = Object.entries(types)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .filter(([buffer]) => new RegExp(`\\b${buffer}_t\\b`).test(body))
    .map(([buffer, type]) => `alias ${buffer}_t = ${type};`);
  if (aliases.some((alias) => alias.endsWith('f16;'))) directives.add('enable f16;');
  const declared = Object.entries(constants)
    .filter(([constant]) => !uniforms.includes(constant) && new RegExp(`\\b${constant}\\b`).test(body))
    .flatMap(([constant, value]) => declaration(constant, value));
  return {
    code: [...directives, ...declared, ...aliases, body].join('\n'),
    bindings: [
      ...body.matchAll(/@binding\((\d+)\) var<(uniform|storage, read|storage, read_write)> (\w+)/g),
    ].map(([, index, space, binding]) => ({
      name: binding,
      index: Number(index),
      type: BINDING_TYPES[space as Space],
    })),
    dims: [...(/struct Dims \{([^}]*)\}/.exec(body)?.[1] ?? '').matchAll(/(\w+): u32/g)].map(
      ([, dim]) => dim,
    ),
  };
}

/** The shader with some constants read from its `Dims`. */
function withUniforms(body: string, uniforms: readonly string[], constants: Constants): string {
  return uniforms.reduce((text, name) => {
    const member = `dims.${name}`;
    const value = typeof constants[name] === 'object' ? `bitcast<f32>(${member})` : member;
    const read = text.replaceAll(new RegExp(`\\b${name}\\b`, 'g'), value);
    return read === text ? text : read.replace(/struct Dims \{ /, `$&${name}: u32, `);
  }, body);
}

const BINDING_TYPES = {
  uniform: 'uniform',
  'storage, read': 'read-only-storage',
  'storage, read_write': 'storage',
} as const;
type Space = keyof typeof BINDING_TYPES;

function declaration(name: string, value: Constant): string[] {
  if (typeof value === 'boolean' || typeof value === 'string') return [];
  if (typeof value === 'number')
    return [value < 0 ? `const ${name}: i32 = ${value}i;` : `const ${name}: u32 = ${value}u;`];
  if (value instanceof Float32Array)
    return [`const ${name} = array<f32, ${value.length}>(${[...value].map(floatLiteral).join(', ')});`];
  return [`const ${name}: f32 = ${floatLiteral(value.float)};`];
}

function floatLiteral(value: number): string {
  if (!Number.isFinite(value)) throw bug('constants', `${value} cannot be written in WGSL`);
  const text = String(Math.fround(value));
  return `${/[.e]/.test(text) ? text : `${text}.0`}f`;
}

/** Expands conditions and loops, and drops comments and blank lines. */
function expand(name: string, lines: readonly string[], constants: Constants): string[] {
  const output: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i].replace(/\s*\/\/.*$/, '').trim();
    if (line === '') continue;
    if (!line.startsWith('#')) {
      output.push(line);
      continue;
    }
    const [, directive = '', rest = ''] = /^#(\w+)\s*(.*)$/.exec(line) ?? [];
    if (directive === 'if') {
      const { branches, end } = splitBlock(name, lines, i);
      const taken = branches.find(({ condition }) => holds(name, condition, constants));
      if (taken) output.push(...expand(name, taken.lines, constants));
      i = end;
    } else if (directive === 'for') {
      const { branches, end } = splitBlock(name, lines, i);
      const [variable = '', count = ''] = rest.split(/\s+/);
      const times = constants[count] ?? Number(count);
      if (typeof times !== 'number' || !Number.isInteger(times))
        throw bug(name, `#for needs a whole number, not ${count}`);
      for (let n = 0; n < times; n++)
        output.push(
          ...expand(
            name,
            branches[0].lines.map((text) => text.replaceAll(`$${variable}`, String(n))),
            constants,
          ),
        );
      i = end;
    } else throw bug(name, `has a stray #${directive} in line "${line}"`);
  }
  return output;
}

interface Branch {
  /** Empty for `#else`. */
  readonly condition: string;
  readonly lines: string[];
}

/** The branches of the block that opens at `start`, and the line that closes it. */
function splitBlock(
  name: string,
  lines: readonly string[],
  start: number,
): { branches: Branch[]; end: number } {
  const [, opener = '', condition = ''] = /^\s*#(\w+)\s*(.*?)\s*(?:\/\/.*)?$/.exec(lines[start]) ?? [];
  const branches: Branch[] = [{ condition, lines: [] }];
  const open = [opener];
  for (let i = start + 1; i < lines.length; i++) {
    const [, directive = '', rest = ''] = /^\s*#(\w+)\s*(.*?)\s*(?:\/\/.*)?$/.exec(lines[i]) ?? [];
    if (directive === 'if' || directive === 'for') open.push(directive);
    if (directive === 'endif' || directive === 'endfor') {
      if (directive !== `end${open.pop()}`) throw bug(name, `closes with #${directive} what it did not open`);
      if (open.length === 0) return { branches, end: i };
    }
    if (open.length === 1 && opener === 'if' && directive === 'elif')
      branches.push({ condition: rest, lines: [] });
    else if (open.length === 1 && opener === 'if' && directive === 'else')
      branches.push({ condition: '', lines: [] });
    else branches.at(-1)?.lines.push(lines[i]);
  }
  throw bug(name, `never closes #${opener} ${condition}`);
}

function holds(name: string, condition: string, constants: Constants): boolean {
  if (condition === '') return true;
  const [, not = '', constant = '', operator, word] =
    /^(!?)(\w+)(?:\s*([!=]=)\s*(\w+))?$/.exec(condition) ?? [];
  const value = constants[constant];
  if (value === undefined) throw bug(name, `asks for "${condition}", which its kernel does not define`);
  if (operator !== undefined)
    return (typeof value !== 'object' && String(value) === word) === (operator === '==');
  if (typeof value !== 'boolean') throw bug(name, `asks for "${condition}", but ${constant} is no boolean`);
  return value !== (not === '!');
}
