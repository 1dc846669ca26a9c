/** @file Compiles WGSL expressions to JavaScript, with the types and rounding that WGSL gives them. */

import { compileCall } from './calls.ts';
import { convertScalar, scalarBinary, type Prelude } from './prelude.ts';
import {
  Scope,
  ShaderError,
  type CallContext,
  type CompileLimits,
  type Reference,
  type Signature,
  type Value,
} from './scope.ts';
import type { Expression } from './syntax.ts';
import {
  BOOL,
  concrete,
  F16,
  F32,
  FLOAT,
  I32,
  INT,
  NAMED_TYPES,
  nameOfType,
  offsetOf,
  scalarOf,
  strideOf,
  U32,
  vectorOf,
  withScalar,
  type Scalar,
  type Type,
} from './types.ts';

const COMPONENTS: Readonly<Record<string, number>> = { x: 0, y: 1, z: 2, w: 3, r: 0, g: 1, b: 2, a: 3 };

const COMPARISONS = new Set(['==', '!=', '<', '>', '<=', '>=']);

/** Expressions of one shader. */
export class Expressions implements CallContext {
  readonly prelude: Prelude;
  readonly limits: CompileLimits;
  readonly types = new Map<string, Type>();
  readonly functions = new Map<string, Signature>();
  scope = new Scope();
  #sites = 0;
  readonly #evaluate: (code: string) => unknown;

  constructor(prelude: Prelude, limits: CompileLimits, evaluate: (code: string) => unknown) {
    this.prelude = prelude;
    this.limits = limits;
    this.#evaluate = evaluate;
  }

  /** A number of its own for a place where lanes wait. */
  site(): number {
    return ++this.#sites;
  }

  /** The number that a constant expression has. */
  constant(expression: Expression): number {
    const value = this.#evaluate(this.value(expression).code);
    if (typeof value !== 'number') throw new ShaderError('a constant number was expected', expression);
    return value;
  }

  /** The type that an expression names. */
  type(expression: Expression): Type {
    if (expression.kind !== 'name') throw new ShaderError('a type was expected', expression);
    const { name, args } = expression;
    const known = this.types.get(name) ?? NAMED_TYPES.get(name);
    if (known) return known;
    const of = (): Type => this.type(args[0]);
    const number = (): Scalar => {
      const type = of();
      if (type.kind !== 'scalar') throw new ShaderError('a type of numbers was expected', expression);
      return type;
    };
    const [, shape, columns, rows] = /^(vec|mat)(\d)(?:x(\d))?$/.exec(name) ?? [];
    if (shape === 'vec') return vectorOf(number(), Number(columns));
    if (shape === 'mat')
      return { kind: 'matrix', columns: Number(columns), of: vectorOf(number(), Number(rows)) };
    if (name === 'array')
      return { kind: 'array', of: of(), count: args.length > 1 ? this.constant(args[1]) : Infinity };
    if (name === 'atomic') return { kind: 'atomic', of: number() };
    const [, role] = /^subgroup_matrix_(left|right|result)$/.exec(name) ?? [];
    if (role === 'left' || role === 'right' || role === 'result')
      return {
        kind: 'subgroup matrix',
        role,
        of: number(),
        columns: this.constant(args[1]),
        rows: this.constant(args[2]),
      };
    throw new ShaderError(`${name} is no type`, expression);
  }

  isType(expression: Expression & { readonly kind: 'name' }): boolean {
    return (
      this.types.has(expression.name) ||
      NAMED_TYPES.has(expression.name) ||
      /^(vec\d|mat\dx\d|array|atomic|subgroup_matrix_\w+)$/.test(expression.name)
    );
  }

  /** The value of an expression. */
  value(expression: Expression): Value {
    switch (expression.kind) {
      case 'number':
        return literal(expression.text);
      case 'boolean':
        return { code: String(expression.value), type: BOOL };
      case 'name':
      case 'index':
      case 'member':
        return this.read(this.reference(expression));
      case 'call':
        return compileCall(expression, this);
      case 'unary':
        return this.#unary(expression.operator, expression.operand);
      case 'binary':
        return this.binary(expression.operator, this.value(expression.left), this.value(expression.right));
    }
  }

  /** A value that a variable may keep, of a type if one is given. */
  kept(expression: Expression, type?: Type): Value {
    const value = this.value(expression);
    const to = type ?? concrete(value.type);
    const converted = this.convert(value, to);
    return converted.shared === true
      ? { code: `${this.prelude.copier(to)}(${converted.code})`, type: to }
      : converted;
  }

  /** Of a reference, what is there. */
  read(reference: Reference): Value {
    if (reference.space === 'local') return reference;
    const { memory, offset, type } = reference;
    return { code: `${this.prelude.loader(type)}(${memory}, ${offset})`, type };
  }

  /** What a path stands for. */
  reference(expression: Expression): Reference {
    if (expression.kind === 'name') {
      const found = this.scope.find(expression.name);
      if (!found) throw new ShaderError(`${expression.name} is not declared`, expression);
      return found;
    }
    if (expression.kind === 'index') return this.#indexed(expression);
    if (expression.kind === 'member') return this.#member(expression);
    return { space: 'local', ...this.value(expression) };
  }

  #indexed({ base, index, line }: Expression & { readonly kind: 'index' }): Reference {
    const whole = this.reference(base);
    const { type } = whole;
    const at = this.value(index).code;
    if (type.kind !== 'array' && type.kind !== 'vector' && type.kind !== 'matrix')
      throw new ShaderError(`${nameOfType(type)} cannot be indexed`, line);
    if (whole.space === 'local') {
      const part = this.prelude.helper(
        'within',
        () =>
          '(i, count) { if (!(i >= 0 && i < count)) throw new RangeError(`index ${i} of ${count}`); return i; }',
      );
      const { count } = type.kind === 'matrix' ? { count: type.columns } : type;
      const checked = /^\d+$/.test(at) ? at : `${part}(${at}, ${count})`;
      return {
        space: 'local',
        code: `${whole.code}[${checked}]`,
        type: type.of,
        shared: whole.shared ?? false,
      };
    }
    return { ...whole, offset: `${whole.offset} + ${strideOf(type)} * ${at}`, type: type.of };
  }

  #member({ base, member, line }: Expression & { readonly kind: 'member' }): Reference {
    const whole = this.reference(base);
    const { type } = whole;
    if (type.kind === 'struct') {
      const i = type.members.findIndex(({ name }) => name === member);
      if (i < 0) throw new ShaderError(`${type.name} has no member ${member}`, line);
      return this.#part(whole, i, offsetOf(type, i), type.members[i].type);
    }
    if (type.kind !== 'vector') throw new ShaderError(`${nameOfType(type)} has no member ${member}`, line);
    const parts = member.split('').map((letter) => COMPONENTS[letter]);
    if (parts.some((part) => part === undefined || part >= type.count))
      throw new ShaderError(`${nameOfType(type)} has no component ${member}`, line);
    if (parts.length === 1) return this.#part(whole, parts[0], strideOf(type) * parts[0], type.of);
    const pick = this.prelude.helper(
      `pick_${parts.join('')}`,
      () => `(v) { return [${parts.map((part) => `v[${part}]`).join(', ')}]; }`,
    );
    return {
      space: 'local',
      code: `${pick}(${this.read(whole).code})`,
      type: vectorOf(type.of, parts.length),
    };
  }

  #part(whole: Reference, index: number, bytes: number, type: Type): Reference {
    return whole.space === 'local'
      ? { ...whole, code: `${whole.code}[${index}]`, type }
      : { ...whole, offset: `${whole.offset} + ${bytes}`, type };
  }

  #unary(operator: string, operand: Expression): Value {
    const { code, type } = this.value(operand);
    const { name } = scalarOf(type);
    const one = (part: string): string => {
      if (operator === '!') return `!${part}`;
      if (operator === '-') return name === 'i32' ? `(-${part} | 0)` : `(-${part})`;
      if (operator === '~') return name === 'u32' ? `(~${part} >>> 0)` : `(~${part})`;
      throw new ShaderError(`the operator ${operator} is not known here`, operand);
    };
    if (type.kind !== 'vector') return { code: one(code), type };
    const word = { '!': 'not', '-': 'minus', '~': 'inverse' }[operator] ?? 'unknown';
    return {
      code: `${this.prelude.each(`${word}_${name}`, type.count, [false], ([part]) => one(part))}(${code})`,
      type,
    };
  }

  /** `left operator right`. */
  binary(operator: string, left: Value, right: Value): Value {
    if (left.type.kind === 'matrix' || right.type.kind === 'matrix')
      return this.#matrixProduct(operator, left, right);
    const shift = operator === '<<' || operator === '>>';
    const [a, b] = shift
      ? [this.convert(left, concrete(left.type)), this.convert(right, withScalar(right.type, U32))]
      : this.unify(left, right);
    const { name } = scalarOf(a.type);
    const result = COMPARISONS.has(operator) ? BOOL : scalarOf(a.type);
    const vector = a.type.kind === 'vector' ? a.type : b.type.kind === 'vector' ? b.type : undefined;
    if (!vector) return { code: scalarBinary(operator, name, a.code, b.code), type: result };
    const helper = this.prelude.each(
      `${WORDS[operator]}_${name}`,
      vector.count,
      [a.type.kind === 'scalar', b.type.kind === 'scalar'],
      ([x, y]) => scalarBinary(operator, name, x, y),
    );
    return { code: `${helper}(${a.code}, ${b.code})`, type: vectorOf(result, vector.count) };
  }

  #matrixProduct(operator: string, left: Value, right: Value): Value {
    const { type: a } = left;
    const { type: b } = right;
    if (operator === '*' && a.kind === 'matrix' && b.kind === 'vector') {
      const times = this.prelude.helper(`transform_${a.columns}x${a.of.count}`, () => {
        const rows = Array.from({ length: a.of.count }, (_, row) =>
          Array.from({ length: a.columns }, (_, column) => `fr(m[${column}][${row}] * v[${column}])`).reduce(
            (sum, product) => `fr(${sum} + ${product})`,
          ),
        );
        return `(m, v) { return [${rows.join(', ')}]; }`;
      });
      return { code: `${times}(${left.code}, ${right.code})`, type: a.of };
    }
    const matrix = a.kind === 'matrix' ? left : right;
    const number = this.convert(a.kind === 'matrix' ? right : left, scalarOf(matrix.type));
    if (operator !== '*' || number.type.kind !== 'scalar' || matrix.type.kind !== 'matrix')
      throw new ShaderError(`${nameOfType(a)} ${operator} ${nameOfType(b)} is not known here`);
    const scale = this.prelude.helper(
      'scaleMatrix',
      () => '(m, s) { return m.map((c) => c.map((e) => fr(e * s))); }',
    );
    return { code: `${scale}(${matrix.code}, ${number.code})`, type: matrix.type };
  }

  /** Two numbers or vectors, with literals as the other has it. */
  unify(left: Value, right: Value): [Value, Value] {
    const [a, b] = [scalarOf(left.type), scalarOf(right.type)];
    const to = a.name === 'int' ? b : b.name === 'int' || b.name === 'float' ? a : a.name === 'float' ? b : a;
    if (![a.name, b.name].every((name) => name === to.name || name === 'int' || name === 'float'))
      throw new ShaderError(`${nameOfType(left.type)} does not go with ${nameOfType(right.type)}`);
    return [this.convert(left, withScalar(left.type, to)), this.convert(right, withScalar(right.type, to))];
  }

  /** A value as a type that it may become by itself: only literals become anything else. */
  convert(value: Value, to: Type): Value {
    if (value.type === to || (value.type.kind !== 'scalar' && value.type.kind !== 'vector')) return value;
    const from = scalarOf(value.type).name;
    if (from !== 'int' && from !== 'float') {
      if (nameOfType(value.type) !== nameOfType(to))
        throw new ShaderError(`${nameOfType(value.type)} is given where ${nameOfType(to)} is wanted`);
      return value;
    }
    return this.converted(value, to);
  }

  /** A value as another type of numbers, as `f32(x)` and `vec4f(x)` do it. */
  converted(value: Value, to: Type): Value {
    const [from, into] = [scalarOf(value.type).name, scalarOf(to).name];
    if (from === into) return value;
    if (value.type.kind === 'scalar')
      return { code: convertScalar(value.code, from, into), type: scalarOf(to) };
    if (value.type.kind !== 'vector')
      throw new ShaderError(`${nameOfType(value.type)} does not become ${nameOfType(to)}`);
    const helper = this.prelude.each(`${into}_of_${from}`, value.type.count, [false], ([part]) =>
      convertScalar(part, from, into),
    );
    return { code: `${helper}(${value.code})`, type: vectorOf(scalarOf(to), value.type.count) };
  }
}

const WORDS: Readonly<Record<string, string>> = {
  '+': 'add',
  '-': 'subtract',
  '*': 'multiply',
  '/': 'divide',
  '%': 'modulo',
  '&': 'and',
  '|': 'or',
  '^': 'xor',
  '<<': 'left',
  '>>': 'right',
  '<': 'less',
  '>': 'greater',
  '<=': 'most',
  '>=': 'least',
  '==': 'equal',
  '!=': 'differ',
};

function literal(text: string): Value {
  const hexadecimal = /^0x/i.test(text);
  const suffix = /[iu]$/.exec(text)?.[0] ?? (hexadecimal ? undefined : /[fh]$/.exec(text)?.[0]);
  const digits = suffix === undefined ? text : text.slice(0, -1);
  const number = Number(digits);
  if (suffix === 'u') return { code: String(number), type: U32 };
  if (suffix === 'i') return { code: String(number), type: I32 };
  if (suffix === 'f') return { code: String(Math.fround(number)), type: F32 };
  if (suffix === 'h') return { code: `h(${number})`, type: F16 };
  return { code: String(number), type: hexadecimal || /^\d+$/.test(digits) ? INT : FLOAT };
}
