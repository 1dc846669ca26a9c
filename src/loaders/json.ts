/**
 * @file JSON as model files really hold it: RFC 8259, plus the literals NaN, Infinity and -Infinity that Python
 * writes, with errors that name file, line and column.
 */
import { FileFormatError } from '../errors.ts';

/** What differs from plain JSON. */
export interface JsonOptions {
  /** Accept NaN, Infinity and -Infinity. */
  readonly nonFinite?: boolean;
  /** Refuse an object that has a key twice (otherwise the last one wins, as in Python and JavaScript). */
  readonly uniqueKeys?: boolean;
}

/** Objects and arrays nested deeper than this are refused, so that no file can exhaust the stack. */
const MAX_DEPTH = 200;

const LITERALS: ReadonlyMap<string, boolean | null> = new Map([
  ['true', true],
  ['false', false],
  ['null', null],
]);
const NON_FINITE: ReadonlyMap<string, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

/** A configuration file's JSON, non-finite literals included. Throws FileFormatError with the place of the error. */
export function parseConfigJson(text: string, file: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    // Either Python's literals, or an error that the reader below can place.
    return parseJson(text, file, { nonFinite: true });
  }
}

/** JSON under the given options. Throws FileFormatError with line and column. */
export function parseJson(text: string, file: string, options: JsonOptions = {}): unknown {
  const reader = new Reader(text, file, options);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  readonly #text: string;
  readonly #file: string;
  readonly #options: JsonOptions;
  #at = 0;

  constructor(text: string, file: string, options: JsonOptions) {
    this.#text = text;
    this.#file = file;
    this.#options = options;
  }

  value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw this.#error(`nested more than ${MAX_DEPTH} deep`);
    this.#space();
    const char = this.#text[this.#at];
    if (char === '{') return this.#object(depth);
    if (char === '[') return this.#array(depth);
    if (char === '"') return this.#string();
    return this.#scalar();
  }

  /** Only white space may follow. */
  end(): void {
    this.#space();
    if (this.#at < this.#text.length) throw this.#error('text after the end of the JSON value');
  }

  #object(depth: number): Record<string, unknown> {
    const entries = new Map<string, unknown>();
    this.#at++;
    if (this.#skip('}')) return {};
    do {
      this.#space();
      const start = this.#at;
      if (this.#text[start] !== '"') throw this.#error('expected a key in double quotes');
      const key = this.#string();
      if (this.#options.uniqueKeys === true && entries.has(key)) {
        this.#at = start;
        throw this.#error(`the key ${JSON.stringify(key)} occurs twice`);
      }
      this.#expect(':');
      entries.set(key, this.value(depth + 1));
    } while (this.#skip(','));
    this.#expect('}');
    // fromEntries defines own properties, so a key named __proto__ stays data.
    return Object.fromEntries(entries);
  }

  #array(depth: number): unknown[] {
    const items: unknown[] = [];
    this.#at++;
    if (this.#skip(']')) return items;
    do items.push(this.value(depth + 1));
    while (this.#skip(','));
    this.#expect(']');
    return items;
  }

  #string(): string {
    const start = this.#at;
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1;
    if (end >= this.#text.length) throw this.#error('a string without an end');
    try {
      const value: unknown = JSON.parse(this.#text.slice(start, end + 1));
      this.#at = end + 1;
      return String(value);
    } catch {
      throw this.#error('a string with a bad escape or a control character');
    }
  }

  #scalar(): unknown {
    const word = /^[^\s,:[\]{}"]*/.exec(this.#text.slice(this.#at, this.#at + 64))?.[0] ?? '';
    const literal = LITERALS.get(word);
    if (literal !== undefined) {
      this.#at += word.length;
      return literal;
    }
    const nonFinite = this.#options.nonFinite === true ? NON_FINITE.get(word) : undefined;
    if (nonFinite === undefined && !/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(word))
      throw this.#error(word === '' ? 'expected a value' : `${JSON.stringify(word)} is not a JSON value`);
    this.#at += word.length;
    return nonFinite ?? Number(word);
  }

  #space(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? '-')) this.#at++;
  }

  #skip(char: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #expect(char: string): void {
    if (!this.#skip(char)) throw this.#error(`expected "${char}"`);
  }

  #error(problem: string): FileFormatError {
    const before = this.#text.slice(0, this.#at).split('\n');
    const line = before.length;
    const column = (before.at(-1)?.length ?? 0) + 1;
    return new FileFormatError(`broken JSON at line ${line}, column ${column}: ${problem}`, {
      file: this.#file,
      remedy: 'The file is damaged or was cut short; get it again',
    });
  }
}
