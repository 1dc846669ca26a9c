/**
 * @file Large pictures through a VAE in overlapping tiles, blended as diffusers' autoencoders blend them
 * (models/autoencoders/autoencoder_kl.py, `tiled_decode`, and autoencoder_tiny.py, `_tiled_decode`). What a tile sees
 * ends at its border, so the result is near to that of the whole picture, not equal to it.
 */

import { strideOf, type Plane, type Tiling } from './vae-tiling.ts';

/** A tile: where it begins, and its part of the input. */
interface Tile {
  readonly row: number;
  readonly column: number;
  readonly input: Plane;
}

/**
 * Runs a network over the tiles of an input, those of one size together, since each size is a program of its own.
 * @param run the network on one tile; gives one plane or several (mean and deviation) of the same size
 */
export async function inTiles(
  input: Plane,
  tiling: Tiling,
  run: (tile: Plane) => Promise<readonly Plane[]>,
): Promise<readonly Plane[]> {
  const { method, tileIn, tileOut, overlap } = tiling;
  const stride = strideOf(tiling);
  const tiles = cut(input, tileIn, stride);
  const outputs = new Map<Tile, readonly Plane[]>();
  const sizeOf = ({ input: { height, width } }: Tile): string => `${height}x${width}`;
  for (const size of new Set(tiles.map(sizeOf)))
    for (const tile of tiles.filter((other) => sizeOf(other) === size))
      outputs.set(tile, await run(tile.input));

  const columns = Math.ceil(input.width / stride);
  const rowsOf = (part: number): Plane[][] => {
    const planes = tiles.map((tile) => outputs.get(tile)?.[part] ?? tile.input);
    return Array.from({ length: Math.ceil(input.height / stride) }, (_, i) =>
      planes.slice(i * columns, (i + 1) * columns),
    );
  };
  const parts = outputs.get(tiles[0])?.length ?? 0;
  return Array.from({ length: parts }, (_, part) =>
    method === 'averaged'
      ? average(rowsOf(part), tileOut, Math.trunc(tileOut * overlap))
      : paint(rowsOf(part), tileOut, (stride * tileOut) / tileIn),
  );
}

/** Tiles row by row; those at the end are what is left. */
function cut(input: Plane, tile: number, stride: number): Tile[] {
  const tiles: Tile[] = [];
  for (let row = 0; row < input.height; row += stride)
    for (let column = 0; column < input.width; column += stride)
      tiles.push({ row, column, input: crop(input, row, column, tile) });
  return tiles;
}

function crop({ height, width, channels, data }: Plane, row: number, column: number, tile: number): Plane {
  const size = { height: Math.min(tile, height - row), width: Math.min(tile, width - column) };
  const out = new Float32Array(size.height * size.width * channels);
  for (let y = 0; y < size.height; y++) {
    const start = ((row + y) * width + column) * channels;
    out.set(data.subarray(start, start + size.width * channels), y * size.width * channels);
  }
  return { ...size, channels, data: out };
}

/** Each tile is blended, in place, with the tile above and then with the one to its left, and cut to its own part. */
function average(rows: readonly (readonly Plane[])[], tile: number, blend: number): Plane {
  const limit = tile - blend;
  rows.forEach((row, i) =>
    row.forEach((plane, j) => {
      if (i > 0) fade(rows[i - 1][j], plane, blend, 'down');
      if (j > 0) fade(row[j - 1], plane, blend, 'right');
    }),
  );
  const kept = rows.map((row) => row.map((plane) => keep(plane, limit)));
  return assemble(
    kept,
    kept.map(([{ height }]) => height),
    kept[0].map(({ width }) => width),
  );
}

/** The first pixels of `next` become more and more its own, coming from the last ones of the tile before it. */
function fade(before: Plane, next: Plane, blend: number, way: 'down' | 'right'): void {
  const { channels, width } = next;
  const [length, lengthBefore] = way === 'down' ? [next.height, before.height] : [width, before.width];
  const extent = Math.min(length, lengthBefore, blend);
  const across = way === 'down' ? Math.min(width, before.width) : Math.min(next.height, before.height);
  for (let along = 0; along < extent; along++) {
    const share = Math.fround(along / extent);
    const rest = Math.fround(1 - along / extent);
    for (let other = 0; other < across; other++) {
      const [y, x] = way === 'down' ? [along, other] : [other, along];
      const [fromY, fromX] =
        way === 'down' ? [lengthBefore - extent + along, other] : [other, lengthBefore - extent + along];
      for (let c = 0; c < channels; c++) {
        const target = (y * width + x) * channels + c;
        const from = before.data[(fromY * before.width + fromX) * channels + c];
        next.data[target] = Math.fround(from * rest) + Math.fround(next.data[target] * share);
      }
    }
  }
}

function keep(plane: Plane, limit: number): Plane {
  return plane.height <= limit && plane.width <= limit ? plane : crop(plane, 0, 0, limit);
}

/** Tiles laid side by side. */
function assemble(
  rows: readonly (readonly Plane[])[],
  heights: readonly number[],
  widths: readonly number[],
): Plane {
  const sum = (sizes: readonly number[]): number => sizes.reduce((a, b) => a + b, 0);
  const { channels } = rows[0][0];
  const out = { height: sum(heights), width: sum(widths), channels };
  const data = new Float32Array(out.height * out.width * channels);
  rows.forEach((row, i) =>
    row.forEach((plane, j) => {
      const [top, left] = [sum(heights.slice(0, i)), sum(widths.slice(0, j))];
      for (let y = 0; y < plane.height; y++)
        data.set(
          plane.data.subarray(y * plane.width * channels, (y + 1) * plane.width * channels),
          ((top + y) * out.width + left) * channels,
        );
    }),
  );
  return { ...out, data };
}

/** Each tile is laid over what is there, its upper and left border growing from transparent to opaque. */
function paint(rows: readonly (readonly Plane[])[], tile: number, stride: number): Plane {
  const blend = tile - stride;
  const last = rows[rows.length - 1];
  const { channels } = rows[0][0];
  const out = {
    height: (rows.length - 1) * stride + last[0].height,
    width: (last.length - 1) * stride + last[last.length - 1].width,
    channels,
  };
  const data = new Float32Array(out.height * out.width * channels);
  const opacity = (index: number, at: number): number =>
    index === 0 ? 1 : Math.min(1, Math.max(0, Math.fround(at / (blend - 1))));
  rows.forEach((row, i) =>
    row.forEach((plane, j) => {
      for (let y = 0; y < plane.height; y++)
        for (let x = 0; x < plane.width; x++) {
          const share = Math.fround(opacity(i, y) * opacity(j, x));
          const target = ((i * stride + y) * out.width + j * stride + x) * channels;
          const source = (y * plane.width + x) * channels;
          for (let c = 0; c < channels; c++)
            data[target + c] =
              Math.fround(share * plane.data[source + c]) + Math.fround((1 - share) * data[target + c]);
        }
    }),
  );
  return { ...out, data };
}
