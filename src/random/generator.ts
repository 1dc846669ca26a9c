/**
 * @file `Generator`: the random numbers of `torch.Generator('cpu')`, bit for bit as on x86-64.
 *
 * Order and number of draws follow torch 2.11 (aten/src/ATen/native/cpu/DistributionTemplates.h), so that a seed
 * gives the same noise as in diffusers.
 */
import { normalBlockF16, normalBlockF32, normalPair } from './box-muller.ts';
import { toHalf } from './half.ts';
import { Mt19937 } from './mt19937.ts';
import { type DrawOptions, elementCount, type NoiseSource } from './noise-source.ts';
import { seedWords } from './seed.ts';

/** Tensors of fewer values are drawn one by one, in float64. */
const BLOCK = 16;

/** A seeded generator that gives the numbers of torch's CPU generator. */
export class Generator implements NoiseSource {
  readonly #engine: Mt19937;
  /** The second normal of a pair, kept for the next value drawn one by one, also across calls. */
  #spareNormal: number | undefined;

  /**
   * @param seed an integer from -2^63 to 2^64 - 1 (a bigint beyond ±2^53). Only its low 32 bits matter, as in torch.
   * @throws OptionError for any other seed.
   */
  constructor(seed: number | bigint) {
    this.#engine = new Mt19937(seedWords(seed).low);
  }

  /**
   * Standard normal values, those of `torch.randn(shape, generator=..., dtype=...)`.
   *
   * 16 values or more come in blocks of 16; if the count is no multiple of 16, the last 16 are drawn anew. Fewer
   * come one by one, from another stream: `randn([4])` twice is not `randn([8])`.
   *
   * @throws OptionError for a shape that is not of whole numbers.
   */
  randn(shape: readonly number[], options: DrawOptions = {}): Float32Array {
    const values = new Float32Array(elementCount(shape));
    const half = options.dtype === 'float16';
    if (values.length < BLOCK) {
      for (let i = 0; i < values.length; i++) values[i] = half ? toHalf(this.#normal()) : this.#normal();
      return values;
    }
    const normalBlock = half ? normalBlockF16 : normalBlockF32;
    this.#fillUniform(values, half);
    for (let i = 0; i + BLOCK <= values.length; i += BLOCK) normalBlock(values, i);
    if (values.length % BLOCK !== 0) {
      this.#fillUniform(values.subarray(values.length - BLOCK), half);
      normalBlock(values, values.length - BLOCK);
    }
    return values;
  }

  /**
   * Uniform values in [0, 1), those of `torch.rand(shape, generator=..., dtype=...)`.
   *
   * @throws OptionError for a shape that is not of whole numbers.
   */
  rand(shape: readonly number[], options: DrawOptions = {}): Float32Array {
    const values = new Float32Array(elementCount(shape));
    this.#fillUniform(values, options.dtype === 'float16');
    return values;
  }

  /** Uniforms of as many bits as the type's significand: one 32-bit draw each. */
  #fillUniform(values: Float32Array, half: boolean): void {
    const mask = half ? 0x7ff : 0xffffff;
    const scale = half ? 2 ** -11 : 2 ** -24;
    for (let i = 0; i < values.length; i++) values[i] = (this.#engine.uint32() & mask) * scale;
  }

  #normal(): number {
    const spare = this.#spareNormal;
    if (spare !== undefined) {
      this.#spareNormal = undefined;
      return spare;
    }
    const uniform1 = this.#engine.uint53() * 2 ** -53;
    const uniform2 = this.#engine.uint53() * 2 ** -53;
    const { first, second } = normalPair(uniform1, uniform2);
    this.#spareNormal = second;
    return first;
  }
}
