/**
 * @file Compiles a compute shader in WGSL to JavaScript that computes what the shader does, lane by lane. Functions in which
 * lanes wait for each other become generators; workgroup.ts runs their lanes in turns.
 */

import { compileFunction } from 'node:vm';
import { f16ToF32, f32ToF16 } from '../../../src/tensor/float16.ts';
import { Expressions } from './expressions.ts';
import { Memory } from './memory.ts';
import { parseModule } from './parser.ts';
import { Prelude, zero } from './prelude.ts';
import { Scope, ShaderError, type CompileLimits, type Reference } from './scope.ts';
import { SUBGROUP, zeroMatrix } from './subgroup.ts';
import type { Declaration, Expression, FunctionSyntax, ModuleSyntax, Statement } from './syntax.ts';
import { BOOL, nameOfType, scalarOf, sizeOf, U32, vectorOf, type Type } from './types.ts';
import { barrier, uniformLoad, type LaneStart } from './workgroup.ts';

/** What compiled shaders find under `rt`. */
const RUNTIME = { f16ToF32, f32ToF16, Memory, barrier, uniformLoad, subgroup: SUBGROUP, zeroMatrix };

/** A variable that a dispatch must give memory. */
export interface ShaderVariable {
  readonly name: string;
  /** Of bindings. */
  readonly binding: number | undefined;
  readonly writable: boolean;
  /** Bytes of the smallest numbers in it. */
  readonly unit: number;
  /** Bytes of workgroup memory. */
  readonly bytes: number;
}

/** A shader ready to run. */
export interface CompiledShader {
  readonly variables: readonly ShaderVariable[];
  readonly lanes: number;
  /** The entry point over these memories: starts a lane. */
  readonly link: (memories: ReadonlyMap<string, Memory>) => (env: LaneStart) => unknown;
  /** Whether `link` gives a generator function. */
  readonly waits: boolean;
  readonly usesMatrices: boolean;
}

const BUILTINS: Readonly<Record<string, Type>> = {
  workgroup_id: vectorOf(U32, 3),
  num_workgroups: vectorOf(U32, 3),
  local_invocation_index: U32,
  subgroup_size: U32,
};

/** Functions in which lanes wait. */
const WAITING = /^(workgroupBarrier|storageBarrier|workgroupUniformLoad|subgroup[A-Z]\w*)$/;

/** Compiles the entry point `main` and all it needs; throws ShaderError for what it does not know. */
export function compileShader(code: string, limits: CompileLimits): CompiledShader {
  return new ShaderCompiler(parseModule(code), limits).compile();
}

class ShaderCompiler {
  readonly #module: ModuleSyntax;
  readonly #prelude = new Prelude();
  readonly #expressions: Expressions;
  #names = 0;
  #result: Type | undefined;

  constructor(module: ModuleSyntax, limits: CompileLimits) {
    this.#module = module;
    this.#expressions = new Expressions(this.#prelude, limits, (code) =>
      this.#run(`return ${code};`)(RUNTIME),
    );
  }

  compile(): CompiledShader {
    const { aliases, structs, constants, variables, functions } = this.#module;
    const expressions = this.#expressions;
    const { types, scope } = expressions;
    // Aliases may count with constants, and structures use aliases.
    for (const declaration of constants) this.#constant(declaration);
    for (const { name, type } of aliases) types.set(name, expressions.type(type));
    for (const { name, members } of structs)
      types.set(name, {
        kind: 'struct',
        name,
        members: members.map((member) => ({ name: member.name, type: expressions.type(member.type) })),
      });
    const declared = variables.map(({ name, type, space, binding }) => {
      const of = expressions.type(type);
      scope.declare(name, { space: 'memory', memory: `memory_${name}`, offset: '0', type: of });
      const bytes = space === 'workgroup' ? sizeOf(of) : 0;
      return { name, binding, writable: space === 'storage', bytes, unit: unitOf(of) };
    });
    const waiting = waitingFunctions(functions);
    const texts = callOrder(functions).map((one) => this.#function(one, waiting.has(one.name)));
    const main = functions.find(({ name }) => name === 'main');
    if (!main?.workgroupSize) throw new ShaderError('there is no entry point main');
    const memories = declared.map(({ name }) => `memory_${name} = memories.get('${name}');`);
    // Functions are made once and their memories set for each dispatch, so that they are optimised once.
    const linker = this.#run(
      `${declared.map(({ name }) => `let memory_${name};`).join(' ')}
      ${texts.join('\n')}
      return (memories) => { ${memories.join(' ')} return ${functionName('main')}; };`,
    )(RUNTIME) as CompiledShader['link'];
    return {
      variables: declared,
      lanes: main.workgroupSize.reduce((lanes, size) => lanes * expressions.constant(size), 1),
      link: linker,
      waits: waiting.has('main'),
      usesMatrices: this.#module.enabled.includes('chromium_experimental_subgroup_matrix'),
    };
  }

  #run(code: string): (rt: typeof RUNTIME) => unknown {
    return compileFunction(`'use strict';\n${this.#prelude.text}\n${code}`, ['rt']) as (
      rt: typeof RUNTIME,
    ) => unknown;
  }

  #constant({ name, type, value }: Declaration): void {
    const expressions = this.#expressions;
    if (!value) throw new ShaderError(`the constant ${name} has no value`);
    const wanted = type && expressions.type(type);
    const { code, type: of } = wanted ? expressions.kept(value, wanted) : expressions.value(value);
    expressions.scope.declare(name, { space: 'local', code: this.#prelude.constant(code), type: of });
  }

  #function({ name, parameters, result, body }: FunctionSyntax, waits: boolean): string {
    const expressions = this.#expressions;
    const outer = expressions.scope;
    expressions.scope = new Scope(outer);
    const types = parameters.map(({ type }) => expressions.type(type));
    this.#result = result && expressions.type(result);
    const entry = name === 'main';
    const names = parameters.map((parameter, i) => {
      if (!entry) return this.#declare(parameter.name, types[i]);
      const builtin = parameter.builtin ?? '';
      if (BUILTINS[builtin] === undefined || nameOfType(BUILTINS[builtin]) !== nameOfType(types[i]))
        throw new ShaderError(`the builtin ${builtin} is not known here`);
      expressions.scope.declare(parameter.name, { space: 'local', code: `env.${builtin}`, type: types[i] });
      return 'env';
    });
    const text = this.#statement(body);
    expressions.scope = outer;
    const code = functionName(name);
    expressions.functions.set(name, { code, parameters: types, result: this.#result, waits });
    return `function${waits ? '*' : ''} ${code}(${entry ? 'env' : names.join(', ')}) ${text}`;
  }

  #declare(name: string, type: Type): string {
    const code = `${name}_${++this.#names}`;
    this.#expressions.scope.declare(name, { space: 'local', code, type, shared: true });
    return code;
  }

  #statement(statement: Statement): string {
    const expressions = this.#expressions;
    switch (statement.kind) {
      case 'declare':
        return this.#declaration(statement);
      case 'assign':
        return this.#assignment(statement);
      case 'call':
        return `${expressions.value(statement.call).code};`;
      case 'block':
        return this.#inside(() => `{\n${statement.body.map((one) => this.#statement(one)).join('\n')}\n}`);
      case 'if': {
        const no = statement.no ? ` else ${this.#statement(statement.no)}` : '';
        return `if (${this.#condition(statement.condition)}) ${this.#statement(statement.yes)}${no}`;
      }
      case 'for':
        return this.#inside(() => {
          const first = statement.first ? this.#statement(statement.first) : '';
          const condition = statement.condition ? this.#condition(statement.condition) : '';
          const next = statement.next ? this.#statement(statement.next).replace(/;$/, '') : '';
          return `{ ${first} for (; ${condition}; ${next}) ${this.#statement(statement.body)} }`;
        });
      case 'switch': {
        const cases = statement.cases.map(({ labels, body }) => {
          const heads =
            labels.length === 0
              ? 'default:'
              : labels.map((label) => `case ${expressions.value(label).code}:`).join(' ');
          return `${heads} ${this.#statement(body)} break;`;
        });
        return `switch (${expressions.value(statement.value).code}) { ${cases.join('\n')} }`;
      }
      case 'return':
        return statement.value
          ? `return ${expressions.kept(statement.value, this.#result).code};`
          : 'return;';
      case 'break':
      case 'continue':
        return `${statement.kind};`;
    }
  }

  #inside(write: () => string): string {
    const outer = this.#expressions.scope;
    this.#expressions.scope = new Scope(outer);
    const text = write();
    this.#expressions.scope = outer;
    return text;
  }

  #condition(expression: Expression): string {
    const { code, type } = this.#expressions.value(expression);
    if (type !== BOOL) throw new ShaderError('a condition is no bool', expression);
    return code;
  }

  #declaration({ how, name, type, value }: Declaration): string {
    const expressions = this.#expressions;
    const wanted = type && expressions.type(type);
    if (how === 'const' && value && !wanted) {
      const constant = expressions.value(value);
      expressions.scope.declare(name, { space: 'local', ...constant });
      return '';
    }
    const kept = value ? expressions.kept(value, wanted) : undefined;
    const of = kept?.type ?? wanted;
    if (!of) throw new ShaderError(`${name} has neither a type nor a value`);
    const code = this.#declare(name, of);
    return `${how === 'var' ? 'let' : 'const'} ${code} = ${kept?.code ?? zero(of)};`;
  }

  #assignment({ target, operator, value }: Statement & { readonly kind: 'assign' }): string {
    const expressions = this.#expressions;
    if (target.kind === 'name' && target.name === '_') return `${expressions.value(value).code};`;
    const place = expressions.reference(target);
    if (operator === '=') return this.#store(place, expressions.kept(value, place.type).code);
    const before = expressions.read(place);
    return this.#store(
      place,
      expressions.convert(
        expressions.binary(operator.slice(0, -1), before, expressions.value(value)),
        place.type,
      ).code,
    );
  }

  #store(place: Reference, code: string): string {
    return place.space === 'local'
      ? `${place.code} = ${code};`
      : `${this.#prelude.storer(place.type)}(${place.memory}, ${place.offset}, ${code});`;
  }
}

function functionName(name: string): string {
  return `function_${name}`;
}

/** Bytes of the smallest numbers in a variable. */
function unitOf(type: Type): number {
  if (type.kind === 'struct') return Math.min(...type.members.map((member) => unitOf(member.type)));
  return type.kind === 'array' ? unitOf(type.of) : sizeOf(scalarOf(type));
}

/** Names of the functions that a statement or expression calls. */
function callsIn(part: unknown, found = new Set<string>()): Set<string> {
  if (typeof part !== 'object' || part === null) return found;
  if ('kind' in part && part.kind === 'call' && 'callee' in part) {
    const { callee } = part as { callee: { name: string } };
    found.add(callee.name);
  }
  for (const inner of Object.values(part)) callsIn(inner, found);
  return found;
}

/** Functions after those that they call. */
function callOrder(functions: readonly FunctionSyntax[]): FunctionSyntax[] {
  const ordered = new Set<FunctionSyntax>();
  const visit = (one: FunctionSyntax): void => {
    const called = callsIn(one.body);
    for (const other of functions)
      if (other !== one && called.has(other.name) && !ordered.has(other)) visit(other);
    ordered.add(one);
  };
  for (const one of functions) visit(one);
  return [...ordered];
}

/** Functions in which lanes wait for each other. */
function waitingFunctions(functions: readonly FunctionSyntax[]): Set<string> {
  const waiting = new Set<string>();
  for (const { name, body } of callOrder(functions))
    if ([...callsIn(body)].some((called) => WAITING.test(called) || waiting.has(called))) waiting.add(name);
  return waiting;
}
