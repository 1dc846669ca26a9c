/** @file Compiles WGSL's builtin functions of numbers, applied to each component of vectors. */

import { ShaderError, type Call, type CallContext, type Value } from './scope.ts';
import { concrete, F32, I32, scalarOf, U32, vectorOf, withScalar, type Type } from './types.ts';

/** JavaScript of functions that work component by component; `fr` rounds where numbers are f32. */
const COMPONENTWISE: Readonly<Record<string, (parts: string[]) => string>> = {
  min: ([a, b]) => `Math.min(${a}, ${b})`,
  max: ([a, b]) => `Math.max(${a}, ${b})`,
  clamp: ([x, low, high]) => `Math.min(Math.max(${x}, ${low}), ${high})`,
  abs: ([x]) => `Math.abs(${x})`,
  sign: ([x]) => `Math.sign(${x})`,
  round: ([x]) => `even(${x})`,
  floor: ([x]) => `Math.floor(${x})`,
  ceil: ([x]) => `Math.ceil(${x})`,
  trunc: ([x]) => `Math.trunc(${x})`,
};

/** Functions whose results are rounded. */
const ROUNDED: Readonly<Record<string, (parts: string[]) => string>> = {
  exp: ([x]) => `Math.exp(${x})`,
  exp2: ([x]) => `2 ** ${x}`,
  log: ([x]) => `Math.log(${x})`,
  log2: ([x]) => `Math.log2(${x})`,
  sin: ([x]) => `Math.sin(${x})`,
  cos: ([x]) => `Math.cos(${x})`,
  tanh: ([x]) => `Math.tanh(${x})`,
  sqrt: ([x]) => `Math.sqrt(${x})`,
  inverseSqrt: ([x]) => `1 / Math.sqrt(${x})`,
  pow: ([x, y]) => `${x} ** ${y}`,
  fma: ([a, b, c]) => `${a} * ${b} + ${c}`,
  fract: ([x]) => `${x} - Math.floor(${x})`,
};

/** A function of numbers; undefined if it is none. */
export function numericBuiltin(call: Call, context: CallContext): Value | undefined {
  const { name } = call.callee;
  if (name === 'select') return select(call, context);
  if (name === 'dot') return dot(call, context);
  if (name === 'transpose') return transpose(call, context);
  if (name === 'firstLeadingBit') {
    const { code } = context.convert(context.value(call.args[0]), U32);
    return { code: `(${code} === 0 ? 4294967295 : 31 - Math.clz32(${code}))`, type: U32 };
  }
  const plain = COMPONENTWISE[name];
  const rounded = ROUNDED[name];
  const write = plain ?? rounded;
  if (write === undefined) return undefined;
  const values = together(
    call.args.map((arg) => context.value(arg)),
    context,
  );
  const [{ type }] = values;
  const number = scalarOf(type).name;
  const round = rounded === undefined ? '' : number === 'f16' ? 'h' : 'fr';
  const one = (parts: string[]): string => (round === '' ? write(parts) : `${round}(${write(parts)})`);
  const codes = values.map(({ code }) => code);
  if (type.kind !== 'vector') return { code: one(codes), type };
  const helper = context.prelude.each(
    `${name}_${number}`,
    type.count,
    values.map(() => false),
    one,
  );
  return { code: `${helper}(${codes.join(', ')})`, type };
}

/** Values of one type: literals become what the others are. */
function together(values: readonly Value[], context: CallContext): Value[] {
  const wanted = values.find(({ type }) => concrete(type) === type) ?? values[0];
  const to = concrete(wanted.type);
  return values.map((value) => context.convert(value, to));
}

function select({ args }: Call, context: CallContext): Value {
  const [no, yes] = context.unify(context.value(args[0]), context.value(args[1]));
  const condition = context.value(args[2]);
  const { type } = no;
  if (condition.type.kind !== 'vector')
    return { code: `(${condition.code} ? ${yes.code} : ${no.code})`, type };
  const choose = context.prelude.each(
    'select',
    condition.type.count,
    [false, false, false],
    ([a, b, c]) => `${c} ? ${b} : ${a}`,
  );
  return { code: `${choose}(${no.code}, ${yes.code}, ${condition.code})`, type };
}

function dot({ args }: Call, context: CallContext): Value {
  const [a, b] = context.unify(context.value(args[0]), context.value(args[1]));
  if (a.type.kind !== 'vector' || a.type.of.name !== 'f32')
    throw new ShaderError('dot is known for f32 alone', args[0]);
  const sum = context.prelude.helper(
    'dotProduct',
    () => '(a, b) { return a.reduce((sum, e, i) => fr(sum + fr(e * b[i])), 0); }',
  );
  return { code: `${sum}(${a.code}, ${b.code})`, type: F32 };
}

function transpose({ args }: Call, context: CallContext): Value {
  const { code, type } = context.value(args[0]);
  if (type.kind !== 'matrix') throw new ShaderError('only matrices can be transposed', args[0]);
  const helper = context.prelude.helper(
    'transposed',
    () => '(m) { return m[0].map((_, row) => m.map((column) => column[row])); }',
  );
  return {
    code: `${helper}(${code})`,
    type: { ...type, columns: type.of.count, of: vectorOf(type.of.of, type.columns) },
  };
}

/** Numbers in parts of a word: halves and bytes. */
const PACKING: Readonly<Record<string, { readonly of: Type; readonly to: Type; readonly body: string }>> = {
  pack2x16float: {
    of: vectorOf(F32, 2),
    to: U32,
    body: '(v) { return ((f32ToF16(v[1]) << 16) | f32ToF16(v[0])) >>> 0; }',
  },
  unpack2x16float: {
    of: U32,
    to: vectorOf(F32, 2),
    body: '(w) { return [f16ToF32(w & 0xffff), f16ToF32(w >>> 16)]; }',
  },
  pack4xI8: {
    of: vectorOf(I32, 4),
    to: U32,
    body: '(v) { return v.reduce((w, e, i) => w | ((e & 255) << (8 * i)), 0) >>> 0; }',
  },
  pack4xI8Clamp: {
    of: vectorOf(I32, 4),
    to: U32,
    body: '(v) { return v.reduce((w, e, i) => w | ((Math.min(127, Math.max(-128, e)) & 255) << (8 * i)), 0) >>> 0; }',
  },
  unpack4xI8: {
    of: U32,
    to: vectorOf(I32, 4),
    body: '(w) { return [w << 24 >> 24, w << 16 >> 24, w << 8 >> 24, w >> 24]; }',
  },
};

/** A function that packs numbers into words or takes them out; undefined if it is none. */
export function packingBuiltin({ callee, args }: Call, context: CallContext): Value | undefined {
  const { name } = callee;
  if (name === 'dot4I8Packed') {
    const [a, b] = args.map((arg) => context.convert(context.value(arg), U32).code);
    const helper = context.prelude.helper(
      name,
      () =>
        '(a, b) { let sum = 0; for (let s = 24; s >= 0; s -= 8) sum += (a << s >> 24) * (b << s >> 24); return sum | 0; }',
    );
    return { code: `${helper}(${a}, ${b})`, type: I32 };
  }
  const known = PACKING[name];
  if (known === undefined) return undefined;
  const helper = context.prelude.helper(name, () => known.body);
  const value = context.value(args[0]);
  const given = context.convert(
    value,
    value.type.kind === 'vector' ? withScalar(value.type, scalarOf(known.of)) : known.of,
  );
  return { code: `${helper}(${given.code})`, type: known.to };
}
