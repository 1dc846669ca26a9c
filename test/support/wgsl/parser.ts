/** @file Reads WGSL, by recursive descent. Shaders are checked by Dawn's own compiler elsewhere (test/kernels/wgsl.test.ts). */

import type {
  Declaration,
  Expression,
  FunctionSyntax,
  GlobalVariable,
  ModuleSyntax,
  Parameter,
  Statement,
} from './syntax.ts';

interface Token {
  readonly text: string;
  readonly line: number;
}

const TOKEN =
  /\s+|\/\/[^\n]*|(0[xX][\da-fA-F]+[iu]?|(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?[iufh]?|[A-Za-z_]\w*|<<=|>>=|->|\+\+|--|&&|\|\||<<|>>|[<>=!+\-*/%&|^]=|[-+*/%&|^~!<>=(){}[\],;:.@])/gy;

function tokens(code: string): Token[] {
  const found: Token[] = [];
  let line = 1;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < code.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(code);
    if (!match) throw new SyntaxError(`line ${line}: cannot read "${code.slice(at, at + 20)}"`);
    if (match[1] !== undefined) found.push({ text: match[1], line });
    line += match[0].split('\n').length - 1;
  }
  return found;
}

/** Operators of two operands, weakest first. */
const PRECEDENCE: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['|'],
  ['^'],
  ['&'],
  ['==', '!='],
  ['<', '>', '<=', '>='],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
];

/** Inside `<...>` only sums and products are read. */
const ADDITIVE = 8;

/** Names after which `<` opens a list. */
const TEMPLATED = /^(vec[234]|mat[234]x[234]|array|atomic|bitcast|subgroup_matrix_\w+|subgroupMatrix\w+)$/;

const ASSIGNMENTS = new Set(['=', '+=', '-=', '*=', '/=', '%=', '&=', '|=', '^=', '<<=', '>>=']);

/** What a shader says. */
export function parseModule(code: string): ModuleSyntax {
  return new Parser(tokens(code)).module();
}

class Parser {
  readonly #tokens: Token[];
  #at = 0;

  constructor(found: Token[]) {
    this.#tokens = found;
  }

  module(): ModuleSyntax {
    const enabled: string[] = [];
    const aliases: { name: string; type: Expression }[] = [];
    const structs: { name: string; members: Parameter[] }[] = [];
    const constants: Declaration[] = [];
    const variables: GlobalVariable[] = [];
    const functions: FunctionSyntax[] = [];
    while (this.#at < this.#tokens.length) {
      const attributes = this.#attributes();
      if (this.#take('enable')) {
        enabled.push(this.#next().text);
        this.#expect(';');
      } else if (this.#take('diagnostic') || this.#take('requires')) {
        while (!this.#take(';')) this.#next();
      } else if (this.#take('alias')) {
        const name = this.#next().text;
        this.#expect('=');
        aliases.push({ name, type: this.#expression() });
        this.#expect(';');
      } else if (this.#take('struct')) {
        const name = this.#next().text;
        this.#expect('{');
        structs.push({ name, members: this.#parameters('}') });
        this.#take(';');
      } else if (this.#peek() === 'const') {
        constants.push(this.#declaration());
        this.#expect(';');
      } else if (this.#take('var')) variables.push(this.#variable(attributes));
      else if (this.#take('fn')) functions.push(this.#function(attributes));
      else throw this.#error('a declaration');
    }
    return { enabled, aliases, structs, constants, variables, functions };
  }

  #attributes(): Map<string, Expression[]> {
    const attributes = new Map<string, Expression[]>();
    while (this.#take('@')) {
      const name = this.#next().text;
      attributes.set(name, this.#take('(') ? this.#list(')') : []);
    }
    return attributes;
  }

  #variable(attributes: Map<string, Expression[]>): GlobalVariable {
    this.#expect('<');
    const { text: space } = this.#next();
    if (this.#take(',')) this.#next();
    this.#expect('>');
    if (space !== 'uniform' && space !== 'storage' && space !== 'workgroup' && space !== 'private')
      throw this.#error('an address space');
    const name = this.#next().text;
    this.#expect(':');
    const type = this.#expression();
    this.#expect(';');
    const [binding] = attributes.get('binding') ?? [];
    return { name, space, type, binding: binding?.kind === 'number' ? Number(binding.text) : undefined };
  }

  #function(attributes: Map<string, Expression[]>): FunctionSyntax {
    const name = this.#next().text;
    this.#expect('(');
    const parameters = this.#parameters(')');
    const result = this.#take('->') ? this.#expression() : undefined;
    return { name, parameters, result, body: this.#block(), workgroupSize: attributes.get('workgroup_size') };
  }

  #parameters(close: string): Parameter[] {
    const parameters: Parameter[] = [];
    while (!this.#take(close)) {
      const [builtin] = this.#attributes().get('builtin') ?? [];
      const name = this.#next().text;
      this.#expect(':');
      const type = this.#expression();
      parameters.push({ name, type, builtin: builtin?.kind === 'name' ? builtin.name : undefined });
      this.#take(',');
    }
    return parameters;
  }

  #block(): Statement {
    this.#expect('{');
    const body: Statement[] = [];
    while (!this.#take('}')) body.push(this.#statement());
    return { kind: 'block', body };
  }

  #statement(): Statement {
    const word = this.#peek();
    if (word === '{') return this.#block();
    if (word === 'if') return this.#if();
    if (word === 'for') return this.#for();
    if (this.#take('while'))
      return {
        kind: 'for',
        first: undefined,
        condition: this.#expression(),
        next: undefined,
        body: this.#block(),
      };
    if (this.#take('loop'))
      return { kind: 'for', first: undefined, condition: undefined, next: undefined, body: this.#block() };
    if (word === 'switch') return this.#switch();
    const statement = this.#simple();
    this.#expect(';');
    return statement;
  }

  /** What ends in a semicolon, or stands in the head of a `for`. */
  #simple(): Statement {
    const word = this.#peek();
    if (word === 'let' || word === 'var' || word === 'const') return this.#declaration();
    if (this.#take('break')) return { kind: 'break' };
    if (this.#take('continue')) return { kind: 'continue' };
    if (this.#take('return'))
      return { kind: 'return', value: this.#peek() === ';' ? undefined : this.#expression() };
    const target = this.#unary();
    const operator = this.#peek();
    if (operator === '++' || operator === '--') {
      this.#next();
      return { kind: 'assign', target, operator: `${operator[0]}=`, value: { kind: 'number', text: '1' } };
    }
    if (!ASSIGNMENTS.has(operator)) return { kind: 'call', call: target };
    this.#next();
    return { kind: 'assign', target, operator, value: this.#expression() };
  }

  #declaration(): Declaration {
    const { text: how } = this.#next();
    if (how !== 'let' && how !== 'var' && how !== 'const') throw this.#error('a declaration');
    const name = this.#next().text;
    const type = this.#take(':') ? this.#expression() : undefined;
    const value = this.#take('=') ? this.#expression() : undefined;
    return { kind: 'declare', how, name, type, value };
  }

  #if(): Statement {
    this.#expect('if');
    const condition = this.#expression();
    const yes = this.#block();
    const no = !this.#take('else') ? undefined : this.#peek() === 'if' ? this.#if() : this.#block();
    return { kind: 'if', condition, yes, no };
  }

  #for(): Statement {
    this.#expect('for');
    this.#expect('(');
    const first = this.#peek() === ';' ? undefined : this.#simple();
    this.#expect(';');
    const condition = this.#peek() === ';' ? undefined : this.#expression();
    this.#expect(';');
    const next = this.#peek() === ')' ? undefined : this.#simple();
    this.#expect(')');
    return { kind: 'for', first, condition, next, body: this.#block() };
  }

  #switch(): Statement {
    this.#expect('switch');
    const value = this.#expression();
    this.#expect('{');
    const cases: { labels: Expression[]; body: Statement }[] = [];
    while (!this.#take('}')) {
      const labels: Expression[] = [];
      if (!this.#take('default')) {
        this.#expect('case');
        do labels.push(this.#expression());
        while (this.#take(','));
      }
      this.#take(':');
      cases.push({ labels, body: this.#block() });
    }
    return { kind: 'switch', value, cases };
  }

  #expression(level = 0): Expression {
    if (level === PRECEDENCE.length) return this.#unary();
    let left = this.#expression(level + 1);
    while (PRECEDENCE[level].includes(this.#peek())) {
      const operator = this.#next().text;
      left = { kind: 'binary', operator, left, right: this.#expression(level + 1) };
    }
    return left;
  }

  #unary(): Expression {
    const operator = this.#peek();
    if (['-', '!', '~', '&', '*'].includes(operator)) {
      this.#next();
      return { kind: 'unary', operator, operand: this.#unary() };
    }
    let base = this.#primary();
    for (;;) {
      const { line } = this.#tokens[this.#at - 1];
      if (this.#take('.')) base = { kind: 'member', base, member: this.#next().text, line };
      else if (this.#take('[')) {
        base = { kind: 'index', base, index: this.#expression(), line };
        this.#expect(']');
      } else return base;
    }
  }

  #primary(): Expression {
    const { text, line } = this.#next();
    if (text === '(') {
      const inner = this.#expression();
      this.#expect(')');
      return inner;
    }
    if (/^[.\d]/.test(text)) return { kind: 'number', text };
    if (text === 'true' || text === 'false') return { kind: 'boolean', value: text === 'true' };
    if (!/^\w/.test(text)) throw this.#error('an expression');
    const args = TEMPLATED.test(text) && this.#take('<') ? this.#list('>', ADDITIVE) : [];
    const name = { kind: 'name', name: text, args, line } as const;
    return this.#take('(') ? { kind: 'call', callee: name, args: this.#list(')'), line } : name;
  }

  #list(close: string, level = 0): Expression[] {
    const list: Expression[] = [];
    while (!this.#take(close)) {
      list.push(this.#expression(level));
      if (!this.#take(',') && this.#peek() !== close && !(close === '>' && this.#peek() === '>>'))
        throw this.#error(`"," or "${close}"`);
    }
    return list;
  }

  #peek(): string {
    return this.#tokens[this.#at]?.text ?? '';
  }

  #next(): Token {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new SyntaxError('the shader ends too early');
    return token;
  }

  /** Takes this token if it is next; one half of `>>` too. */
  #take(text: string): boolean {
    const token = this.#tokens[this.#at];
    if (token?.text === '>>' && text === '>') this.#tokens[this.#at] = { text: '>', line: token.line };
    else if (token?.text === text) this.#at++;
    else return false;
    return true;
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw this.#error(`"${text}"`);
  }

  #error(wanted: string): SyntaxError {
    const { text, line } = this.#tokens[this.#at] ?? { text: 'the end', line: 0 };
    return new SyntaxError(`line ${line}: ${wanted} was expected, not "${text}"`);
  }
}
