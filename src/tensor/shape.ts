/**
 * @file Shapes whose dimensions are numbers or integer expressions of named symbols (batch, height, ...).
 *
 * A symbolic dimension is kept in a normal form, a polynomial with integer coefficients over *atoms*; an atom is
 * a symbol or a floored division of a polynomial by an integer. Two equal expressions built in different ways
 * therefore have the same `key`, which is all that shape inference needs to compare them.
 */

/** A symbolic dimension. Build it with `symbol` and the functions below. */
export interface SymbolicDim {
  /** Coefficients by monomial; a monomial is its atoms' keys, sorted and joined by `*`, and '' is the constant. */
  readonly terms: ReadonlyMap<string, number>;
  /** The atoms that occur, by key. */
  readonly atoms: ReadonlyMap<string, Atom>;
  /** Canonical text; equal keys mean equal dimensions. */
  readonly key: string;
}

type Atom =
  | { readonly kind: 'symbol'; readonly name: string }
  | { readonly kind: 'floorDiv'; readonly dividend: SymbolicDim; readonly divisor: number };

/** One dimension of a shape. */
export type Dim = number | SymbolicDim;

/** A shape, outermost dimension first. Images are NHWC, token sequences are [batch, tokens, channels]. */
export type Shape = readonly Dim[];

/** Values for the symbols of a graph. */
export type Bindings = Readonly<Record<string, number>>;

function make(terms: Map<string, number>, atoms: ReadonlyMap<string, Atom>): Dim {
  for (const [monomial, coefficient] of terms) if (coefficient === 0) terms.delete(monomial);
  if (terms.size === 0) return 0;
  if (terms.size === 1 && terms.has('')) return terms.get('') ?? 0;
  const sorted = [...terms].sort(([a], [b]) => (a < b ? -1 : 1));
  const key = sorted
    .map(([monomial, c]) => (monomial === '' ? `${c}` : c === 1 ? monomial : `${c}*${monomial}`))
    .join('+');
  return { terms: new Map(sorted), atoms, key };
}

function fromAtom(key: string, atom: Atom): Dim {
  return make(new Map([[key, 1]]), new Map([[key, atom]]));
}

function termsOf(dim: Dim): ReadonlyMap<string, number> {
  return typeof dim === 'number' ? new Map([['', dim]]) : dim.terms;
}

function atomsOf(...dims: Dim[]): ReadonlyMap<string, Atom> {
  return new Map(dims.flatMap((dim) => (typeof dim === 'number' ? [] : [...dim.atoms])));
}

/** A named symbol, for example `symbol('height')`. */
export function symbol(name: string): Dim {
  return fromAtom(name, { kind: 'symbol', name });
}

/** a + b */
export function addDims(a: Dim, b: Dim): Dim {
  const terms = new Map(termsOf(a));
  for (const [monomial, c] of termsOf(b)) terms.set(monomial, (terms.get(monomial) ?? 0) + c);
  return make(terms, atomsOf(a, b));
}

/** The product of all dimensions; 1 for none. */
export function mulDims(...dims: readonly Dim[]): Dim {
  return dims.reduce<Dim>((a, b) => {
    const terms = new Map<string, number>();
    for (const [ma, ca] of termsOf(a))
      for (const [mb, cb] of termsOf(b)) {
        const monomial = [...ma.split('*'), ...mb.split('*')]
          .filter((part) => part !== '')
          .sort()
          .join('*');
        terms.set(monomial, (terms.get(monomial) ?? 0) + ca * cb);
      }
    return make(terms, atomsOf(a, b));
  }, 1);
}

/** floor(dim / divisor) for a positive integer divisor. */
export function floorDivDim(dim: Dim, divisor: number): Dim {
  if (typeof dim === 'number') return Math.floor(dim / divisor);
  if (divisor === 1) return dim;
  // floor((n*q + r) / n) = q + floor(r / n): take out of every coefficient what divides, so that forms agree.
  const whole = new Map<string, number>();
  const rest = new Map<string, number>();
  for (const [monomial, c] of dim.terms) {
    const quotient = Math.floor(c / divisor);
    whole.set(monomial, quotient);
    rest.set(monomial, c - quotient * divisor);
  }
  const remainder = make(rest, dim.atoms);
  const quotient = make(whole, dim.atoms);
  if (typeof remainder === 'number') return quotient;
  // '*' and '+' separate factors and terms in keys, so an atom's key must not contain them bare.
  const key = `floor[(${remainder.key.replaceAll('*', '·').replaceAll('+', '⊕')})/${divisor}]`;
  return addDims(quotient, fromAtom(key, { kind: 'floorDiv', dividend: remainder, divisor }));
}

/** Whether two dimensions are equal for every value of their symbols. */
export function sameDim(a: Dim, b: Dim): boolean {
  return typeof a === 'number' || typeof b === 'number' ? a === b : a.key === b.key;
}

/** Whether two shapes are equal for every value of their symbols. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => sameDim(dim, b[i] ?? Number.NaN));
}

/** The number of elements of a shape. */
export function sizeOf(shape: Shape): Dim {
  return mulDims(...shape);
}

/** A dimension with numbers put in for its symbols; throws RangeError for a symbol without a value. */
export function bindDim(dim: Dim, bindings: Bindings): number {
  if (typeof dim === 'number') return dim;
  const value = (key: string): number => {
    const atom = dim.atoms.get(key);
    if (atom?.kind === 'floorDiv') return Math.floor(bindDim(atom.dividend, bindings) / atom.divisor);
    const bound = atom === undefined ? undefined : bindings[atom.name];
    if (bound === undefined) throw new RangeError(`no value for the symbol "${key}"`);
    return bound;
  };
  let sum = 0;
  for (const [monomial, c] of dim.terms)
    sum += monomial === '' ? c : monomial.split('*').reduce((product, key) => product * value(key), c);
  return sum;
}

/** A shape with numbers put in for its symbols. */
export function bindShape(shape: Shape, bindings: Bindings): number[] {
  return shape.map((dim) => bindDim(dim, bindings));
}

/** The shape as numbers; throws RangeError if a dimension is still symbolic. */
export function concrete(shape: Shape): number[] {
  return bindShape(shape, {});
}

/** Text of a shape, for printers and messages: `[2, height, width, 320]`. */
export function formatShape(shape: Shape): string {
  return `[${shape.map((dim) => (typeof dim === 'number' ? dim : dim.key.replaceAll('·', '*').replaceAll('⊕', '+'))).join(', ')}]`;
}

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
