/**
 * @file Compiles what the lanes of a subgroup do together. A lane stops there with a request; subgroup.ts answers when all
 * of its subgroup have come.
 */

import { pointed, ShaderError, type Call, type CallContext, type Value } from './scope.ts';
import type { Expression } from './syntax.ts';
import { BOOL, nameOfType, scalarOf, sizeOf, U32, type SubgroupMatrix, type Type } from './types.ts';

/** A function of subgroups; undefined if it is none. */
export function subgroupBuiltin(call: Call, context: CallContext): Value | undefined {
  const { name } = call.callee;
  if (!name.startsWith('subgroup')) return undefined;
  const needed = name.startsWith('subgroupMatrix') ? 'chromium-experimental-subgroup-matrix' : 'subgroups';
  if (!context.limits.features.has(needed))
    throw new ShaderError(`${name} needs the feature ${needed}`, call);
  switch (name) {
    case 'subgroupMatrixLoad':
      return matrixLoad(call, context);
    case 'subgroupMatrixStore':
      return matrixStore(call, context);
    case 'subgroupMatrixMultiplyAccumulate':
      return multiply(call, context);
    case 'subgroupShuffleXor': {
      const value = context.kept(call.args[0]);
      const mask = context.convert(context.value(call.args[1]), U32).code;
      return request('shuffleXor', [value.code, mask], value.type, context);
    }
    case 'subgroupAdd':
    case 'subgroupMax': {
      const value = context.kept(call.args[0]);
      if (nameOfType(value.type) !== 'f32') throw new ShaderError(`${name} is known for f32 alone`, call);
      return request(name === 'subgroupAdd' ? 'add' : 'max', [value.code], value.type, context);
    }
    default:
      throw new ShaderError(`the function ${name} is not known here`, call);
  }
}

function request(what: string, args: readonly string[], type: Type, context: CallContext): Value {
  return {
    code: `(yield { site: ${context.site()}, ask: rt.subgroup.${what}, args: [${args.join(', ')}] })`,
    type,
  };
}

function matrixType(type: Type, call: Call): SubgroupMatrix {
  if (type.kind !== 'subgroup matrix')
    throw new ShaderError(`${nameOfType(type)} is no subgroup matrix`, call);
  return type;
}

/** How a matrix lies in memory: the name of an object that says it. */
function layout(
  type: SubgroupMatrix,
  order: Expression | undefined,
  element: Type,
  call: Call,
  { prelude }: CallContext,
): string {
  const word = order?.kind === 'name' ? order.name : '';
  if (word !== 'row_major' && word !== 'col_major')
    throw new ShaderError('row_major or col_major was expected', call);
  if (element.kind !== 'array') throw new ShaderError('matrices are read from arrays', call);
  const { rows, columns, of } = type;
  return prelude.constant(
    `{ rows: ${rows}, columns: ${columns}, number: '${of.name}', columnMajor: ${word === 'col_major'}, element: ${sizeOf(element.of)} }`,
  );
}

/** `subgroupMatrixLoad<Type, order>(&array, offset, stride)`, both counted in elements of the array. */
function matrixLoad(call: Call, context: CallContext): Value {
  const type = matrixType(context.type(call.callee.args[0]), call);
  const place = pointed(call.args[0], context);
  const how = layout(type, call.callee.args[1], place.type, call, context);
  const numbers = [call.args[1], call.args[2]].map((arg) => context.convert(context.value(arg), U32).code);
  return request('loadMatrix', [place.memory, how, ...numbers], type, context);
}

/** `subgroupMatrixStore<order>(&array, offset, matrix, stride)` */
function matrixStore(call: Call, context: CallContext): Value {
  const matrix = context.value(call.args[2]);
  const type = matrixType(matrix.type, call);
  const place = pointed(call.args[0], context);
  const how = layout(type, call.callee.args[0], place.type, call, context);
  const numbers = [call.args[1], call.args[3]].map((arg) => context.convert(context.value(arg), U32).code);
  return request('storeMatrix', [place.memory, how, ...numbers, matrix.code], BOOL, context);
}

function multiply(call: Call, context: CallContext): Value {
  const values = call.args.map((arg) => context.value(arg));
  const [left, right, sum] = values.map(({ type }) => matrixType(type, call));
  const [M, N, K] = [sum.rows, sum.columns, left.columns];
  const config = { componentType: scalarOf(left).name, resultComponentType: scalarOf(sum).name, M, N, K };
  const fits =
    left.role === 'left' &&
    right.role === 'right' &&
    sum.role === 'result' &&
    left.rows === M &&
    right.columns === N &&
    right.rows === K &&
    right.of === left.of;
  if (!fits) throw new ShaderError('these matrices cannot be multiplied', call);
  const keys = ['componentType', 'resultComponentType', 'M', 'N', 'K'] as const;
  if (!context.limits.matrices.some((offered) => keys.every((key) => offered[key] === config[key])))
    throw new ShaderError(`the device has no matrices of ${JSON.stringify(config)}`, call);
  const sizes = context.prelude.constant(
    `{ rows: ${M}, columns: ${N}, depth: ${K}, number: '${config.resultComponentType}' }`,
  );
  return request('multiply', [sizes, ...values.map(({ code }) => code)], sum, context);
}
