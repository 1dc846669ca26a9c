/**
 * @file `spiece.model`, SentencePiece's own file (a protocol buffer, sentencepiece_model.proto), of which a unigram model's
 * pieces, scores and normaliser are read: T5's tokenizer where no tokenizer.json was published.
 */
import { FileFormatError } from '../errors.ts';

/** What tokenizing takes. */
export interface SentencePieceModel {
  /** Pieces by id, with their logarithmic probabilities. */
  readonly pieces: readonly (readonly [piece: string, score: number])[];
  readonly unknownId: number;
  /** See charsmap.ts; empty if the model has none. */
  readonly charsmap: Uint8Array;
}

/** Fields of the messages. */
const MODEL = { pieces: 1, trainerSpec: 2, normalizerSpec: 3 };
const PIECE = { piece: 1, score: 2, type: 3 };
const TRAINER = { modelType: 3 };
const NORMALIZER = { precompiledCharsmap: 2 };
const UNIGRAM = 1;
const UNKNOWN_PIECE = 2;

/** A field of a message: a number, or the bytes of a string, a message or a float. */
interface Field {
  readonly number: number;
  readonly value: number | Uint8Array;
}

/**
 * Reads a file.
 * @throws FileFormatError if it is damaged, is no unigram model, or has not one piece for what is unknown
 */
export function readSentencePiece(bytes: Uint8Array, file: string): SentencePieceModel {
  const damaged = (problem: string): FileFormatError =>
    new FileFormatError(problem, {
      file,
      remedy: 'Get the file again; a tokenizer.json that transformers saved serves in its place',
    });
  const pieces: (readonly [string, number])[] = [];
  const unknown: number[] = [];
  let charsmap: Uint8Array = new Uint8Array();
  // Protocol buffers leave out what is the default.
  let modelType = UNIGRAM;
  for (const { number, value } of fields(bytes, damaged)) {
    if (number === MODEL.pieces) {
      const { piece, score, type } = readPiece(message(value, damaged), damaged);
      if (type === UNKNOWN_PIECE) unknown.push(pieces.length);
      pieces.push([piece, score]);
    } else if (number === MODEL.trainerSpec) {
      for (const field of fields(message(value, damaged), damaged))
        if (field.number === TRAINER.modelType && typeof field.value === 'number') modelType = field.value;
    } else if (number === MODEL.normalizerSpec) {
      for (const field of fields(message(value, damaged), damaged))
        if (field.number === NORMALIZER.precompiledCharsmap) charsmap = message(field.value, damaged);
    }
  }
  if (modelType !== UNIGRAM) throw damaged(`the model is of type ${modelType}, not unigram (${UNIGRAM})`);
  if (unknown.length !== 1)
    throw damaged(`${unknown.length} of ${pieces.length} pieces stand for the unknown`);
  return { pieces, unknownId: unknown[0], charsmap };
}

function readPiece(bytes: Uint8Array, damaged: (problem: string) => Error) {
  let piece = '';
  let score = 0;
  let type = 1;
  for (const { number, value } of fields(bytes, damaged)) {
    if (number === PIECE.piece) piece = text(message(value, damaged), damaged);
    else if (number === PIECE.score) {
      const float = message(value, damaged);
      if (float.length !== 4) throw damaged(`the score of ${JSON.stringify(piece)} is no float`);
      score = new DataView(float.buffer, float.byteOffset).getFloat32(0, true);
      if (!Number.isFinite(score)) throw damaged(`the score of ${JSON.stringify(piece)} is ${score}`);
    } else if (number === PIECE.type && typeof value === 'number') type = value;
  }
  return { piece, score, type };
}

function text(bytes: Uint8Array, damaged: (problem: string) => Error): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw damaged('a piece is not UTF-8');
  }
}

function message(value: Field['value'], damaged: (problem: string) => Error): Uint8Array {
  if (typeof value === 'number') throw damaged('a number stands where bytes are expected');
  return value;
}

/** The fields of a message, in order. */
function* fields(bytes: Uint8Array, damaged: (problem: string) => Error): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; scale < 2 ** 63; scale *= 128) {
      if (at >= bytes.length) throw damaged('the file ends within a number');
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    // Negative numbers take ten bytes; none that is read here is negative.
    at++;
    return value;
  };
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) throw damaged('a field is longer than what holds it');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case 0:
        yield { number, value: varint() };
        break;
      case 1:
        yield { number, value: take(8) };
        break;
      case 2:
        yield { number, value: take(varint()) };
        break;
      case 5:
        yield { number, value: take(4) };
        break;
      default:
        throw damaged(`a field is of the unknown kind ${key % 8}`);
    }
  }
}
