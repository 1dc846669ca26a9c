/** @file What names stand for while a shader is compiled. */

import type { Prelude } from './prelude.ts';
import type { Expression } from './syntax.ts';
import type { Type } from './types.ts';

/** JavaScript that computes something of a type. */
export interface Value {
  readonly code: string;
  readonly type: Type;
  /** Whether it is the very array that a variable holds, so that it must be copied before it is kept. */
  readonly shared?: boolean;
}

/** What a name or a path from it stands for: a value, or a place in memory. */
export type Reference =
  | (Value & { readonly space: 'local' })
  | { readonly space: 'memory'; readonly memory: string; readonly offset: string; readonly type: Type };

/** A function of the shader. */
export interface Signature {
  readonly code: string;
  readonly parameters: readonly Type[];
  readonly result: Type | undefined;
  /** Whether lanes wait for each other in it. */
  readonly waits: boolean;
}

/** Names of a block, then those around it. */
export class Scope {
  readonly #names = new Map<string, Reference>();
  readonly #outer: Scope | undefined;

  constructor(outer?: Scope) {
    this.#outer = outer;
  }

  declare(name: string, reference: Reference): void {
    this.#names.set(name, reference);
  }

  find(name: string): Reference | undefined {
    return this.#names.get(name) ?? this.#outer?.find(name);
  }
}

/** A mistake in a shader, or something of WGSL that is not known here. */
export class ShaderError extends Error {
  constructor(problem: string, at?: Expression | number) {
    const line = typeof at === 'object' && 'line' in at ? at.line : typeof at === 'number' ? at : undefined;
    super(line === undefined ? problem : `line ${line}: ${problem}`);
  }
}

/** A combination of element types and sizes that a device multiplies: [M x K] by [K x N]. */
export interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** What a shader is compiled for. */
export interface CompileLimits {
  readonly features: ReadonlySet<string>;
  readonly matrices: readonly MatrixConfig[];
}

/** What compiling a call needs of compiling expressions. */
export interface CallContext {
  readonly prelude: Prelude;
  readonly limits: CompileLimits;
  readonly functions: ReadonlyMap<string, Signature>;
  site(): number;
  type(expression: Expression): Type;
  isType(expression: Expression & { readonly kind: 'name' }): boolean;
  value(expression: Expression): Value;
  kept(expression: Expression, type?: Type): Value;
  reference(expression: Expression): Reference;
  binary(operator: string, left: Value, right: Value): Value;
  unify(left: Value, right: Value): [Value, Value];
  convert(value: Value, to: Type): Value;
  converted(value: Value, to: Type): Value;
}

export type Call = Expression & { readonly kind: 'call' };

/** The place that `&path` points at. */
export function pointed(
  expression: Expression,
  context: CallContext,
): Reference & { readonly space: 'memory' } {
  const place =
    expression.kind === 'unary' && expression.operator === '&'
      ? context.reference(expression.operand)
      : undefined;
  if (place?.space !== 'memory') throw new ShaderError('a pointer to memory was expected', expression);
  return place;
}
