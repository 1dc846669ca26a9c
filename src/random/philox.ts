/**
 * @file `PhiloxGenerator`: the random numbers of `torch.Generator('cuda')`.
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) as cuRAND uses it: the key is
 * the seed, and the counter holds the draw's number and the thread's. Which thread makes which value depends on how
 * many threads torch launches, hence the geometry (aten/src/ATen/native/cuda/DistributionTemplates.h: blocks of 256
 * threads, four values a thread and round).
 */
import { toHalf } from './half.ts';
import { type DrawOptions, elementCount, type NoiseSource } from './noise-source.ts';
import { seedWords, type SeedWords } from './seed.ts';
import { OptionError } from '../errors.ts';

/** The graphics card's facts that torch sizes its launches by (`torch.cuda.get_device_properties`). */
export interface CudaGeometry {
  /** `multi_processor_count`, for example 132 (H100), 108 (A100), 128 (RTX 4090). */
  readonly multiprocessors: number;
  /** `max_threads_per_multi_processor`: 2048 on data-centre cards, 1536 on most GeForce cards. */
  readonly threadsPerMultiprocessor: number;
}

const H100: CudaGeometry = { multiprocessors: 132, threadsPerMultiprocessor: 2048 };
const BLOCK_THREADS = 256;
const VALUES_PER_ROUND = 4;
const TO_UNIT = 2 ** -32;
const TO_ANGLE = Math.fround(TO_UNIT * Math.fround(2 * Math.PI));
const TO_TURNS = Math.fround(0.5 / Math.PI);

const f32 = Math.fround;

/**
 * A seeded generator that gives the numbers of torch's CUDA generator.
 *
 * Integers and uniforms are torch's bit for bit. Normals are not: the card takes its fast sine and cosine, which are
 * off by up to 6e-7 of a value's radius. Of an H100's normals, 99.7 % are met to 1e-6 and all to 2e-6.
 *
 * The geometry matters only for tensors of more values than the card has resident threads (270,336 on the default, an
 * H100): smaller ones, which all latents up to 2048x2048 pixels are there, are the same on every card.
 */
export class PhiloxGenerator implements NoiseSource {
  readonly #seed: SeedWords;
  readonly #maxBlocks: number;
  #round = 0;

  /**
   * @param seed an integer from -2^63 to 2^64 - 1 (a bigint beyond ±2^53); all its 64 bits matter.
   * @param geometry the card to imitate; an H100 SXM (132 x 2048 threads) by default.
   * @throws OptionError for any other seed, or for a geometry that is not of positive integers.
   */
  constructor(seed: number | bigint, geometry: CudaGeometry = H100) {
    this.#seed = seedWords(seed);
    this.#maxBlocks =
      geometry.multiprocessors * Math.floor(geometry.threadsPerMultiprocessor / BLOCK_THREADS);
    if (!Number.isInteger(this.#maxBlocks) || this.#maxBlocks < 1)
      throw new OptionError('the geometry describes no graphics card', {
        field: 'geometry',
        remedy: 'Give the multiprocessor count and at least 256 threads for each',
      });
  }

  /**
   * Standard normal values, those of `torch.randn(shape, generator=..., device='cuda', dtype=...)` (see the class).
   *
   * @throws OptionError for a shape that is not of whole numbers.
   */
  randn(shape: readonly number[], options: DrawOptions = {}): Float32Array {
    return this.#fill(shape, options, (words) => {
      const [a, b] = normalPair(words[0], words[1]);
      const [c, d] = normalPair(words[2], words[3]);
      return [a, b, c, d];
    });
  }

  /**
   * Uniform values in [0, 1), those of `torch.rand(shape, generator=..., device='cuda', dtype=...)`.
   *
   * @throws OptionError for a shape that is not of whole numbers.
   */
  rand(shape: readonly number[], options: DrawOptions = {}): Float32Array {
    // cuRAND's interval is (0, 1]; torch turns it round to [0, 1), after rounding to the tensor's type.
    return this.#fill(shape, options, (words) => words.map(unitInterval)).map((value) =>
      value === 1 ? 0 : value,
    );
  }

  /** Calls `convert` on the four words of each thread and round, and puts the four values where torch does. */
  #fill(
    shape: readonly number[],
    options: DrawOptions,
    convert: (words: readonly number[]) => readonly number[],
  ): Float32Array {
    const count = elementCount(shape);
    const values = new Float32Array(count);
    if (count === 0) return values;
    const threads = Math.min(Math.ceil(count / BLOCK_THREADS), this.#maxBlocks) * BLOCK_THREADS;
    const rounds = Math.ceil(count / (threads * VALUES_PER_ROUND));
    for (let round = 0; round < rounds; round++) {
      const start = round * threads * VALUES_PER_ROUND;
      for (let thread = 0; thread < threads && start + thread < count; thread++) {
        const drawn = convert(philox(this.#round + round, thread, this.#seed));
        for (let i = 0; i < VALUES_PER_ROUND && start + i * threads + thread < count; i++)
          values[start + i * threads + thread] = drawn[i];
      }
    }
    this.#round += rounds;
    return options.dtype === 'float16' ? values.map(toHalf) : values;
  }
}

/** A word as a float32 in (0, 1]; the card rounds it to float32 before it scales, and fuses the addition. */
function unitInterval(word: number): number {
  return f32(f32(word) * TO_UNIT + TO_UNIT / 2);
}

function normalPair(word1: number, word2: number): [number, number] {
  const radius = f32(Math.sqrt(f32(-2 * f32(Math.log(unitInterval(word1))))));
  const angle = f32(f32(word2) * TO_ANGLE + f32(TO_ANGLE / 2));
  // The card's sine unit takes the angle in turns, rounded to float32.
  const turns = f32(angle * TO_TURNS);
  return [f32(Math.sin(2 * Math.PI * turns) * radius), f32(Math.cos(2 * Math.PI * turns) * radius)];
}

/** Ten rounds of Philox4x32 on the counter (round, 0, thread, 0): four 32-bit words. */
export function philox(round: number, thread: number, seed: SeedWords): [number, number, number, number] {
  let [a, b, c, d] = [round >>> 0, Math.floor(round * TO_UNIT), thread, 0];
  let [key0, key1] = [seed.low, seed.high];
  for (let i = 0; i < 10; i++) {
    const highA = mulHigh(0xd2511f53, a);
    const lowA = Math.imul(0xd2511f53, a);
    const highC = mulHigh(0xcd9e8d57, c);
    const lowC = Math.imul(0xcd9e8d57, c);
    [a, b, c, d] = [(highC ^ b ^ key0) >>> 0, lowC >>> 0, (highA ^ d ^ key1) >>> 0, lowA >>> 0];
    key0 = (key0 + 0x9e3779b9) >>> 0;
    key1 = (key1 + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** The upper 32 bits of the product of two unsigned 32-bit integers, by 16-bit limbs. */
function mulHigh(a: number, b: number): number {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle1 = aHigh * bLow;
  const middle2 = aLow * bHigh;
  const carry = ((aLow * bLow) >>> 16) + (middle1 & 0xffff) + (middle2 & 0xffff);
  return aHigh * bHigh + (middle1 >>> 16) + (middle2 >>> 16) + (carry >>> 16);
}
