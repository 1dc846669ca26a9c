/**
 * @file Reader of safetensors files (https://github.com/huggingface/safetensors, "Format"): a checked header, and
 * tensors read one at a time straight from the byte source.
 */
import * as v from 'valibot';
import { FileFormatError } from '../errors.ts';
import { later } from '../later.ts';
import { isStoredDType, STORED_DTYPES } from '../tensor/dtype.ts';
import { type ByteSource, type Bytes, decodeUtf8 } from './byte-source.ts';
import { parseJson } from './json.ts';
import { chunkBytes, missingTensor, type TensorInfo, type WeightSource } from './weight-source.ts';

/** Read first: the header's length, and enough to tell what other format a file has. */
const HEAD_BYTES = 64;
/** The format's own limit on the JSON header. */
const MAX_HEADER_BYTES = 100_000_000;
/** Far above any model; keeps products of dimensions from running away. */
const MAX_RANK = 16;

const DAMAGED =
  'The file is damaged or was written by a faulty program; get it again from where it was published';

const tensorSchema = v.strictObject({
  dtype: v.string(),
  shape: v.pipe(v.array(v.pipe(v.number(), v.safeInteger(), v.minValue(0))), v.maxLength(MAX_RANK)),
  data_offsets: v.strictTuple([
    v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
    v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  ]),
});
const metadataSchema = v.record(v.string(), v.string());

/** One tensor as the header describes it; `dtype` may be one that cannot be read. */
interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes from the beginning of the data section. */
  readonly begin: number;
  readonly end: number;
}

/** An open safetensors file. */
export interface SafetensorsFile extends WeightSource {
  /** The header's `__metadata__`; empty if there is none. */
  readonly metadata: ReadonlyMap<string, string>;
  /** `length` bytes of a tensor from its byte `offset`. Throws as `read` does, and for bytes outside the tensor. */
  readRange(name: string, offset: number, length: number, signal?: AbortSignal): Promise<Bytes>;
}

/**
 * Reads and checks the header of a safetensors file; no tensor is read.
 * Throws FileFormatError for a file of another format, a bad header, offsets outside the data section, sizes that
 * do not match shapes, and tensors that overlap or leave gaps (which the format forbids).
 */
export async function openSafetensors(source: ByteSource, signal?: AbortSignal): Promise<SafetensorsFile> {
  const headerBytes = await readHeaderLength(source, signal);
  const text = decodeUtf8(await source.read(8, headerBytes, signal), source.name);
  if (!text.startsWith('{')) throw damaged(source.name, 'the header does not begin with "{"');
  const json = parseJson(text, source.name, { uniqueKeys: true });
  const { entries, metadata } = readEntries(json, source.name);
  checkLayout(entries, source.size - 8 - headerBytes, source.name);
  return new OpenSafetensors(source, 8 + headerBytes, entries, metadata);
}

function damaged(file: string, problem: string, field?: string): FileFormatError {
  return new FileFormatError(problem, { file, ...(field === undefined ? {} : { field }), remedy: DAMAGED });
}

async function readHeaderLength(source: ByteSource, signal: AbortSignal | undefined): Promise<number> {
  const head = await source.read(0, Math.min(HEAD_BYTES, source.size), signal);
  const length =
    head.length < 8 ? undefined : new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  if (length !== undefined && length <= MAX_HEADER_BYTES && length <= source.size - 8) return Number(length);
  const { sniffForeignFormat } = await later('files of other formats', () => import('./file-sniff.ts'));
  const foreign = sniffForeignFormat(head);
  if (foreign !== undefined)
    throw new FileFormatError(`is no safetensors file but ${foreign.what}`, {
      file: source.name,
      remedy: foreign.remedy,
    });
  if (length === undefined) throw damaged(source.name, `has only ${source.size} bytes`);
  if (length > MAX_HEADER_BYTES)
    throw damaged(
      source.name,
      `the header length ${length} is over the format's limit of ${MAX_HEADER_BYTES}`,
    );
  throw damaged(source.name, `the header length ${length} reaches beyond the file's ${source.size} bytes`);
}

function readEntries(
  json: unknown,
  file: string,
): { entries: Map<string, Entry>; metadata: Map<string, string> } {
  const entries = new Map<string, Entry>();
  let metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(json ?? {})) {
    if (name === '__metadata__') {
      if (Array.isArray(value) || !v.is(metadataSchema, value))
        throw damaged(file, 'is not a map of strings to strings', name);
      metadata = new Map(Object.entries(value));
      continue;
    }
    const parsed = v.safeParse(tensorSchema, value);
    if (!parsed.success) {
      const [issue] = parsed.issues;
      const path = v.getDotPath(issue);
      throw damaged(file, issue.message, path === null ? name : `${name}: ${path}`);
    }
    const { dtype, shape, data_offsets } = parsed.output;
    entries.set(name, { dtype, shape, begin: data_offsets[0], end: data_offsets[1] });
  }
  return { entries, metadata };
}

/** Sizes match shapes, and the tensors fill the data section with neither overlap nor gap. */
function checkLayout(entries: ReadonlyMap<string, Entry>, dataBytes: number, file: string): void {
  for (const [name, { dtype, shape, begin, end }] of entries) {
    if (begin > end) throw damaged(file, `data_offsets [${begin}, ${end}] run backwards`, name);
    if (end > dataBytes)
      throw new FileFormatError(
        `data_offsets [${begin}, ${end}] reach beyond the ${dataBytes} bytes of data`,
        {
          file,
          field: name,
          remedy: 'The file was cut short or is damaged; get it again',
        },
      );
    if (!isStoredDType(dtype)) continue;
    const bytes = shape.reduce((product, size) => product * size, STORED_DTYPES[dtype]);
    if (bytes !== end - begin)
      throw damaged(
        file,
        `${dtype} of shape [${shape.join(', ')}] is ${bytes} bytes, but it has ${end - begin}`,
        name,
      );
  }
  const ordered = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  let before = 'the beginning of the data';
  for (const [name, { begin, end }] of ordered) {
    if (begin < at) throw damaged(file, `overlaps with ${before}`, name);
    if (begin > at) throw damaged(file, `there is a gap of ${begin - at} bytes after ${before}`, name);
    at = end;
    before = name;
  }
  if (at < dataBytes) throw damaged(file, `${dataBytes - at} bytes after the last tensor belong to none`);
}

class OpenSafetensors implements SafetensorsFile {
  readonly name: string;
  readonly metadata: ReadonlyMap<string, string>;
  readonly #source: ByteSource;
  readonly #dataStart: number;
  readonly #entries: ReadonlyMap<string, Entry>;

  constructor(
    source: ByteSource,
    dataStart: number,
    entries: ReadonlyMap<string, Entry>,
    metadata: ReadonlyMap<string, string>,
  ) {
    this.name = source.name;
    this.metadata = metadata;
    this.#source = source;
    this.#dataStart = dataStart;
    this.#entries = entries;
  }

  names(): Iterable<string> {
    return this.#entries.keys();
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  info(name: string): TensorInfo {
    const { dtype, shape, begin, end } = this.#entry(name);
    if (!isStoredDType(dtype))
      throw new FileFormatError(`the element type ${JSON.stringify(dtype)} is not read`, {
        file: this.name,
        field: name,
        remedy: `Use a version of the model stored as one of ${Object.keys(STORED_DTYPES).join(', ')}`,
      });
    return { dtype, shape, byteLength: end - begin, file: this.name };
  }

  async read(name: string, signal?: AbortSignal): Promise<Bytes> {
    const { byteLength } = this.info(name);
    return this.#source.read(this.#dataStart + this.#entry(name).begin, byteLength, signal);
  }

  async readRange(name: string, offset: number, length: number, signal?: AbortSignal): Promise<Bytes> {
    const { byteLength } = this.info(name);
    if (offset < 0 || length < 0 || offset + length > byteLength)
      throw new RangeError(`bytes ${offset} to ${offset + length} are not inside ${name} of ${byteLength}`);
    return this.#source.read(this.#dataStart + this.#entry(name).begin + offset, length, signal);
  }

  async *readChunks(name: string, maxBytes: number, signal?: AbortSignal): AsyncGenerator<Bytes, void, void> {
    const { dtype } = this.info(name);
    const { begin, end } = this.#entry(name);
    const step = chunkBytes(dtype, maxBytes);
    for (let at = begin; at < end; at += step)
      yield await this.#source.read(this.#dataStart + at, Math.min(step, end - at), signal);
  }

  async close(): Promise<void> {
    await this.#source.close?.();
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw missingTensor(this, name);
    return entry;
  }
}
