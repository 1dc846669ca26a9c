/** @file Compiles WGSL calls: constructors, the shader's own functions, and builtin functions of numbers and memory. */

import { numericBuiltin, packingBuiltin } from './builtins.ts';
import { typeKey, zero } from './prelude.ts';
import { pointed, ShaderError, type Call, type CallContext, type Value } from './scope.ts';
import { subgroupBuiltin } from './subgroup-calls.ts';
import { BOOL, nameOfType, scalarOf, sizeOf, strideOf, U32, vectorOf, type Type } from './types.ts';

/** The type of calls that have no value. */
const NOTHING = BOOL;

/** A barrier, as a lane asks for it. */
function barrier(context: CallContext): Value {
  return { code: `(yield rt.barrier(${context.site()}))`, type: NOTHING };
}

/** The value of a call. */
export function compileCall(call: Call, context: CallContext): Value {
  const { callee, args } = call;
  const { name } = callee;
  if (context.isType(callee)) return construct(inferredType(call, context), call, context);
  const own = context.functions.get(name);
  if (own) {
    const given = args.map((arg, i) => context.kept(arg, own.parameters[i]).code);
    const code = `${own.code}(${given.join(', ')})`;
    return { code: own.waits ? `(yield* ${code})` : code, type: own.result ?? NOTHING };
  }
  switch (name) {
    case 'workgroupBarrier':
    case 'storageBarrier':
      return barrier(context);
    case 'workgroupUniformLoad': {
      const { memory, offset, type } = pointed(args[0], context);
      const load = context.prelude.loader(type);
      const of = type.kind === 'atomic' ? type.of : type;
      return {
        code: `(yield rt.uniformLoad(${context.site()}, () => ${load}(${memory}, ${offset})))`,
        type: of,
      };
    }
    case 'arrayLength': {
      const { memory, type } = pointed(args[0], context);
      return { code: `Math.floor(${memory}.size / ${strideOf(type)})`, type: U32 };
    }
    case 'atomicStore':
    case 'atomicLoad': {
      const { memory, offset, type } = pointed(args[0], context);
      const of = scalarOf(type);
      if (name === 'atomicLoad')
        return { code: `${context.prelude.loader(type)}(${memory}, ${offset})`, type: of };
      const value = context.convert(context.value(args[1]), of);
      const store = `${context.prelude.storer(type)}(${memory}, ${offset}, ${value.code})`;
      return { code: `${memory}.holds(${offset}, ${value.code}) || ${store}`, type: NOTHING };
    }
    case 'bitcast':
      return bitcast(context.type(callee.args[0]), context.kept(args[0]), context);
    default: {
      const found =
        subgroupBuiltin(call, context) ?? packingBuiltin(call, context) ?? numericBuiltin(call, context);
      if (found) return found;
      throw new ShaderError(`the function ${name} is not known here`, call);
    }
  }
}

/** The type that a constructor makes: `vec4(x)` and `array(x, y)` take it from their arguments. */
function inferredType({ callee, args }: Call, context: CallContext): Type {
  const [, count] = /^vec(\d)$/.exec(callee.name) ?? [];
  if (count === undefined || callee.args.length > 0) return context.type(callee);
  return vectorOf(scalarOf(context.value(args[0]).type), Number(count));
}

function construct(type: Type, call: Call, context: CallContext): Value {
  const { args } = call;
  if (args.length === 0) return { code: zero(type), type };
  if (type.kind === 'scalar') return context.converted(context.value(args[0]), type);
  if (type.kind === 'struct')
    return {
      code: `[${type.members.map((member, i) => context.kept(args[i], member.type).code).join(', ')}]`,
      type,
    };
  if (type.kind === 'array')
    return { code: `[${args.map((arg) => context.kept(arg, type.of).code).join(', ')}]`, type };
  const values = args.map((arg) => context.value(arg));
  const [first] = values;
  if (type.kind === 'matrix') {
    if (first.type.kind === 'matrix') {
      const convert = context.converted({ code: 'c', type: first.type.of }, type.of);
      return { code: `${first.code}.map((c) => ${convert.code})`, type };
    }
    if (values.some((value) => value.type.kind !== 'vector') || values.length !== type.columns)
      throw new ShaderError('matrices are made of columns here', call);
    return { code: `[${values.map((value) => context.convert(value, type.of).code).join(', ')}]`, type };
  }
  if (type.kind !== 'vector')
    throw new ShaderError(`${nameOfType(type)} has no constructor with arguments`, call);
  if (values.length === 1 && first.type.kind === 'vector') return context.converted(first, type);
  if (values.length === 1) {
    const one = context.converted(first, type.of).code;
    const spread = context.prelude.helper(
      `spread_${type.count}`,
      () => `(s) { return [${Array.from({ length: type.count }, () => 's').join(', ')}]; }`,
    );
    return { code: `${spread}(${one})`, type };
  }
  const parts = values.map((value) =>
    value.type.kind === 'vector'
      ? `...${context.converted(value, vectorOf(type.of, value.type.count)).code}`
      : context.converted(value, type.of).code,
  );
  return { code: `[${parts.join(', ')}]`, type };
}

/** The bits of a value as another type. */
function bitcast(to: Type, { code, type: from }: Value, { prelude }: CallContext): Value {
  if (sizeOf(from) !== sizeOf(to))
    throw new ShaderError(`${nameOfType(from)} has other bytes than ${nameOfType(to)}`);
  const [store, load] = [prelude.storer(from), prelude.loader(to)];
  const cast = prelude.helper(
    `bits_${typeKey(from)}_${typeKey(to)}`,
    () => `(v) { ${store}(scratch, 0, v); return ${load}(scratch, 0); }`,
  );
  return { code: `${cast}(${code})`, type: to };
}
