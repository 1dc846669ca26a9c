/** @file The part of WGSL's syntax that the shaders of this repository use: what a shader says, as plain data. */

/** An expression, or a type where one is expected: `vec4<f32>` is a name with arguments. */
export type Expression =
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | {
      readonly kind: 'name';
      readonly name: string;
      readonly args: readonly Expression[];
      readonly line: number;
    }
  | {
      readonly kind: 'call';
      readonly callee: Expression & { readonly kind: 'name' };
      readonly args: readonly Expression[];
      readonly line: number;
    }
  | { readonly kind: 'unary'; readonly operator: string; readonly operand: Expression }
  | {
      readonly kind: 'binary';
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'index'; readonly base: Expression; readonly index: Expression; readonly line: number }
  | { readonly kind: 'member'; readonly base: Expression; readonly member: string; readonly line: number };

/** `let`, `var` or `const` with a value, a type, or both. */
export interface Declaration {
  readonly kind: 'declare';
  readonly how: 'let' | 'var' | 'const';
  readonly name: string;
  readonly type: Expression | undefined;
  readonly value: Expression | undefined;
}

export type Statement =
  | Declaration
  /** `target operator value`; `=` or `+=` and its kin. */
  | {
      readonly kind: 'assign';
      readonly target: Expression;
      readonly operator: string;
      readonly value: Expression;
    }
  | { readonly kind: 'call'; readonly call: Expression }
  | { readonly kind: 'block'; readonly body: readonly Statement[] }
  | {
      readonly kind: 'if';
      readonly condition: Expression;
      readonly yes: Statement;
      readonly no: Statement | undefined;
    }
  | {
      readonly kind: 'for';
      readonly first: Statement | undefined;
      readonly condition: Expression | undefined;
      readonly next: Statement | undefined;
      readonly body: Statement;
    }
  | {
      readonly kind: 'switch';
      readonly value: Expression;
      /** No labels: the default. */
      readonly cases: readonly { readonly labels: readonly Expression[]; readonly body: Statement }[];
    }
  | { readonly kind: 'return'; readonly value: Expression | undefined }
  | { readonly kind: 'break' }
  | { readonly kind: 'continue' };

/** `name: type`, with `@builtin(builtin)` if it is one. */
export interface Parameter {
  readonly name: string;
  readonly type: Expression;
  readonly builtin: string | undefined;
}

export interface FunctionSyntax {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly result: Expression | undefined;
  readonly body: Statement;
  /** Arguments of `@workgroup_size`, of the entry point alone. */
  readonly workgroupSize: readonly Expression[] | undefined;
}

/** A variable of a module. */
export interface GlobalVariable {
  readonly name: string;
  readonly space: 'uniform' | 'storage' | 'workgroup' | 'private';
  readonly binding: number | undefined;
  readonly type: Expression;
}

/** A shader, its parts in the order of their declaration. */
export interface ModuleSyntax {
  readonly enabled: readonly string[];
  readonly aliases: readonly { readonly name: string; readonly type: Expression }[];
  readonly structs: readonly { readonly name: string; readonly members: readonly Parameter[] }[];
  readonly constants: readonly Declaration[];
  readonly variables: readonly GlobalVariable[];
  readonly functions: readonly FunctionSyntax[];
}
