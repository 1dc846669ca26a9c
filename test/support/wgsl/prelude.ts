/** @file The JavaScript functions that a compiled shader calls, written as it asks for them: arithmetic, loads and stores. */

import { offsetOf, sizeOf, strideOf, type Scalar, type ScalarName, type Type } from './types.ts';

/** What every shader may need, whatever its types: functions of numbers, in JavaScript. */
const COMMON = `
const { f16ToF32, f32ToF16, Memory } = rt;
const fr = Math.fround;
const h = (x) => f16ToF32(f32ToF16(x));
const divU = (a, b) => b === 0 ? a : (a / b) >>> 0;
const modU = (a, b) => b === 0 ? 0 : a % b;
const divI = (a, b) => b === 0 ? a : (a / b) | 0;
const modI = (a, b) => b === 0 ? 0 : (a % b) | 0;
const toU = (x) => x <= 0 ? 0 : x >= 4294967295 ? 4294967295 : Math.trunc(x);
const toI = (x) => x <= -2147483648 ? -2147483648 : x >= 2147483647 ? 2147483647 : Math.trunc(x);
const even = (x) => { const r = Math.round(x); return Math.abs(x % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r; };
const scratch = new Memory('scratch', new ArrayBuffer(64), 0, 64);
`;

/** JavaScript of `a operator b` for numbers of a type. */
export function scalarBinary(operator: string, type: ScalarName, a: string, b: string): string {
  if (['<', '>', '<=', '>='].includes(operator)) return `(${a} ${operator} ${b})`;
  if (operator === '==' || operator === '!=') return `(${a} ${operator}= ${b})`;
  if (operator === '&&' || operator === '||') return `(${a} ${operator} ${b})`;
  if (type === 'bool') return `((${a} ${operator} ${b}) !== 0)`;
  if (type === 'f32') return `fr(${a} ${operator} ${b})`;
  if (type === 'f16') return `h(${a} ${operator} ${b})`;
  if (type === 'float') return `(${a} ${operator} ${b})`;
  if (type === 'int') return operator === '/' ? `Math.trunc(${a} / ${b})` : `(${a} ${operator} ${b})`;
  const unsigned = type === 'u32';
  if (operator === '/' || operator === '%')
    return `${operator === '/' ? 'div' : 'mod'}${unsigned ? 'U' : 'I'}(${a}, ${b})`;
  const shift = operator === '<<' || operator === '>>';
  const raw =
    operator === '*'
      ? `Math.imul(${a}, ${b})`
      : `${a} ${unsigned && operator === '>>' ? '>>>' : operator} ${shift ? `(${b} & 31)` : b}`;
  return unsigned ? `((${raw}) >>> 0)` : `((${raw}) | 0)`;
}

/** JavaScript of a number as another type has it. */
export function convertScalar(code: string, from: ScalarName, to: ScalarName): string {
  if (from === to) return code;
  if (from === 'bool') return `(${code} ? 1 : 0)`;
  if (to === 'bool') return `(${code} !== 0)`;
  if (to === 'f32') return from === 'f16' ? code : `fr(${code})`;
  if (to === 'f16') return `h(${code})`;
  if (to === 'float') return code;
  if (from === 'int') return code;
  if (to === 'u32') return from === 'i32' ? `(${code} >>> 0)` : `toU(${code})`;
  if (to === 'i32') return from === 'u32' ? `(${code} | 0)` : `toI(${code})`;
  throw new TypeError(`${from} does not become ${to}`);
}

/** The functions that one shader needs. */
export class Prelude {
  readonly #sources = new Map<string, string>();
  readonly #constants = new Map<string, string>();

  /** The name of a function, written unless it is there: `write` gives its parameters and body. */
  helper(name: string, write: () => string): string {
    if (!this.#sources.has(name)) {
      this.#sources.set(name, '');
      this.#sources.set(name, `function ${name}${write()}`);
    }
    return name;
  }

  /** The name of a constant that JavaScript computes. */
  constant(code: string): string {
    const known = this.#constants.get(code) ?? `constant${this.#constants.size}`;
    this.#constants.set(code, known);
    return known;
  }

  /** All of them. */
  get text(): string {
    const constants = [...this.#constants].map(([code, name]) => `const ${name} = ${code};`);
    return [COMMON, ...this.#sources.values(), ...constants].join('\n');
  }

  /** A function (memory, offset) that reads a value of a type. */
  loader(type: Type): string {
    return this.helper(
      `load_${typeKey(type)}`,
      () => `(m, o) { const a = m.at(o, ${sizeOf(type)}, false); return ${loadText(type, 0)}; }`,
    );
  }

  /** A function (memory, offset, value) that writes a value of a type. */
  storer(type: Type): string {
    return this.helper(
      `store_${typeKey(type)}`,
      () => `(m, o, v) { const a = m.at(o, ${sizeOf(type)}, true); ${storeText(type, 'v', 0)} }`,
    );
  }

  /** A function that copies a value which a variable may change. */
  copier(type: Type): string {
    return this.helper(`copy_${typeKey(type)}`, () => `(v) { return ${copyText(type, 'v')}; }`);
  }

  /** A function of a value's parts, applied to each: of `count` parts, where `scalars` are the same for all. */
  each(name: string, count: number, scalars: readonly boolean[], write: (parts: string[]) => string): string {
    const shape = scalars.map((scalar) => (scalar ? 's' : 'v')).join('');
    const parameters = scalars.map((_, i) => `p${i}`);
    return this.helper(`${name}_${shape}${count}`, () => {
      const parts = Array.from({ length: count }, (_, part) =>
        write(parameters.map((parameter, i) => (scalars[i] ? parameter : `${parameter}[${part}]`))),
      );
      return `(${parameters.join(', ')}) { return [${parts.join(', ')}]; }`;
    });
  }
}

/** A part of a function's name. */
export function typeKey(type: Type): string {
  switch (type.kind) {
    case 'scalar':
      return type.name;
    case 'vector':
      return `${type.of.name}x${type.count}`;
    case 'matrix':
      return `${typeKey(type.of)}x${type.columns}`;
    case 'array':
      return `${typeKey(type.of)}n${type.count}`;
    case 'struct':
      return type.name;
    case 'atomic':
      return typeKey(type.of);
    case 'subgroup matrix':
      return 'matrix';
  }
}

/** Types of the parts of a value that is a JavaScript array, and where they lie. */
function partsOf(type: Type): { type: Type; offset: number }[] {
  if (type.kind === 'struct')
    return type.members.map((member, i) => ({ type: member.type, offset: offsetOf(type, i) }));
  const count =
    type.kind === 'matrix' ? type.columns : type.kind === 'scalar' ? 0 : (type as { count: number }).count;
  const of = (type as { of: Type }).of;
  return Array.from({ length: count }, (_, i) => ({ type: of, offset: i * strideOf(type) }));
}

const PLACES = {
  f32: 'm.f32[a + # >> 2]',
  u32: 'm.u32[a + # >> 2]',
  i32: 'm.i32[a + # >> 2]',
  f16: 'm.u16[a + # >> 1]',
  i8: 'm.i8[a + #]',
};

function place({ name }: Scalar, offset: number): string {
  if (name === 'bool' || name === 'int' || name === 'float')
    throw new TypeError(`${name} has no place in memory`);
  return PLACES[name].replace('#', String(offset));
}

function loadText(type: Type, offset: number): string {
  if (type.kind === 'scalar')
    return type.name === 'f16' ? `f16ToF32(${place(type, offset)})` : place(type, offset);
  if (type.kind === 'atomic') return loadText(type.of, offset);
  return `[${partsOf(type)
    .map((part) => loadText(part.type, offset + part.offset))
    .join(', ')}]`;
}

function storeText(type: Type, value: string, offset: number): string {
  if (type.kind === 'scalar')
    return `${place(type, offset)} = ${type.name === 'f16' ? `f32ToF16(${value})` : value};`;
  if (type.kind === 'atomic') return storeText(type.of, value, offset);
  return partsOf(type)
    .map((part, i) => storeText(part.type, `${value}[${i}]`, offset + part.offset))
    .join(' ');
}

function copyText(type: Type, value: string): string {
  if (type.kind === 'vector') return `${value}.slice()`;
  if (type.kind === 'scalar' || type.kind === 'atomic' || type.kind === 'subgroup matrix') return value;
  if (type.kind === 'struct')
    return `[${type.members.map((member, i) => copyText(member.type, `${value}[${i}]`)).join(', ')}]`;
  return `${value}.map((e) => ${copyText(type.of, 'e')})`;
}

/** JavaScript of a value of a type whose parts are all zero. */
export function zero(type: Type): string {
  if (type.kind === 'scalar') return type.name === 'bool' ? 'false' : '0';
  if (type.kind === 'subgroup matrix') return `rt.zeroMatrix(${type.rows * type.columns})`;
  if (type.kind === 'array' && type.count > 8)
    return `Array.from({ length: ${type.count} }, () => ${zero(type.of)})`;
  return `[${partsOf(type)
    .map((part) => zero(part.type))
    .join(', ')}]`;
}
