/** @file Which tile of kernels/matrix_sm90.h a matrix product or convolution gets, and how many blocks share a tile's depth. */

import { isHopper, type CudaContext } from '../kernel.ts';
import type { Operand } from '../launch.ts';
import { MEASURED_TILES } from './measured-tiles.ts';

/** A product [m, depth] x [depth, n]; of a convolution's taps, and its phases if it doubles the image. */
export interface MatrixSizes {
  readonly m: number;
  readonly n: number;
  readonly depth: number;
  readonly taps: number;
  readonly phases: number;
}

/** A tile by its number, -1 for one that the native half chooses, and the blocks that share its depth. */
export interface TileChoice {
  readonly config: number;
  readonly parts: number;
}

const BY_MODEL: TileChoice = { config: -1, parts: 1 };

/** A tile of kernels/matrix_sm90.h. */
interface Tile {
  readonly rows: number;
  readonly columns: number;
  /** Blocks that share a multiprocessor. */
  readonly resident: number;
  /** Blocks of a cluster among which its depth is split. */
  readonly split: number;
  /** Whether any number of blocks can share its depth: not where groups take turns, nor where it is split already. */
  readonly isShared: boolean;
}

function tile(rows: number, columns: number, resident = 1): Tile {
  return { rows, columns, resident, split: 1, isShared: true };
}

function takesTurns(rows: number, columns: number): Tile {
  return { rows, columns, resident: 1, split: 1, isShared: false };
}

function isSplit(rows: number, columns: number, split: number, resident = 2): Tile {
  return { rows, columns, resident, split, isShared: false };
}

/** By their numbers; a test compares them with the header. */
export const TILES: readonly Tile[] = [
  tile(128, 160),
  tile(128, 256),
  tile(256, 128),
  tile(256, 160),
  tile(128, 128, 2),
  tile(128, 80, 2),
  tile(64, 160, 2),
  tile(256, 16),
  tile(128, 160, 2),
  tile(128, 256),
  tile(256, 160),
  takesTurns(128, 160),
  takesTurns(128, 128),
  takesTurns(128, 192),
  isSplit(128, 160, 2, 1),
  isSplit(128, 160, 2),
  isSplit(128, 128, 4),
  isSplit(128, 80, 2),
  isSplit(128, 80, 4),
  isSplit(128, 80, 8),
];

/** How many there are for operands of eight bits. */
export const EIGHT_BITS_TILES = 10;

/** The tile that products with few tiles get, and the channels of one of its steps. */
const SHARED = 0;
const STEP_CHANNELS = 64;

/** Fewer steps than this are not worth a part of their own: the way through memory takes as long as fifteen. */
const LEAST_STEPS = 20;
const MOST_PARTS = 16;

/** The largest tile's sides: what a product may be rounded up by. */
const LARGEST_TILE = 256;

/** CALOTYPE_COUNTERS of kernels/gemm.h, zeros before and after each launch. */
const COUNTERS = new Float32Array(2048);

const MEASURED = new Map(
  MEASURED_TILES.map(([m, n, depth, taps, phases, config, parts]) => [
    keyOf({ m, n, depth, taps, phases }),
    { config, parts },
  ]),
);

function keyOf({ m, n, depth, taps, phases }: MatrixSizes): string {
  return [m, n, depth, taps, phases].join();
}

/** Whether a tile can do products whose columns are values and gates: those of a cluster that splits the depth cannot. */
export function doesGates(config: number): boolean {
  return TILES[config].split === 1;
}

/**
 * What a product gets: what was measured best, or else parts enough for all multiprocessors where its tiles are few.
 * @param isGated whether its columns are values and gates (geglu)
 */
export function tileOf(
  sizes: MatrixSizes,
  { device }: Pick<CudaContext, 'device'>,
  isGated = false,
): TileChoice {
  if (!isHopper(device)) return BY_MODEL;
  const measured = MEASURED.get(keyOf(sizes));
  if (measured && (!isGated || doesGates(measured.config))) return measured;
  const { rows, columns } = TILES[SHARED];
  const tiles = Math.ceil(sizes.m / rows) * Math.ceil(sizes.n / columns) * sizes.phases;
  const steps = sizes.depth / STEP_CHANNELS;
  const parts = Math.floor(Math.min(device.multiprocessors / tiles, steps / LEAST_STEPS, MOST_PARTS));
  return parts > 1 ? { config: SHARED, parts } : BY_MODEL;
}

/** Bytes that the sums of all parts may take: a kernel's only scratch range, or none. */
export function partialBytes(sizes: MatrixSizes, { parts }: TileChoice): number[] {
  const { m, n, phases } = sizes;
  return parts > 1 ? [4 * parts * phases * (m + LARGEST_TILE) * (n + LARGEST_TILE)] : [];
}

/** The fields of CalotypeGemmArgs and CalotypeConvArgs that a choice sets. */
export function tileArguments(sizes: MatrixSizes, choice: TileChoice) {
  const [bytes = 0] = partialBytes(sizes, choice);
  const counters: Operand = { data: COUNTERS };
  return {
    partials: bytes > 0 ? 'scratch0' : 'none',
    counters: bytes > 0 ? counters : 'none',
    partialBytes: bytes,
    ...choice,
  };
}

/** Those for operands of eight bits. */
export const CHOSEN_TILE = { partials: 'none', counters: 'none', partialBytes: 0, ...BY_MODEL };
