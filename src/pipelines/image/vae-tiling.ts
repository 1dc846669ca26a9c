/** @file How large pictures are cut into tiles for a VAE; vae-tiles.ts does it. */

import type { Size } from '../../image/resize.ts';

/** Values [height, width, channels]. */
export interface Plane extends Size {
  readonly channels: number;
  readonly data: Float32Array;
}

/** How a VAE's class cuts and blends; sizes are of the tiles that go in and come out. */
export interface Tiling {
  /** `averaged` tiles of AutoencoderKL fade into their neighbours; `painted` ones of AutoencoderTiny are laid over. */
  readonly method: 'averaged' | 'painted';
  readonly tileIn: number;
  readonly tileOut: number;
  /** Share of a tile that overlaps the next. */
  readonly overlap: number;
}

/** The different sizes of the tiles that an input is cut into. */
export function tileSizes({ height, width }: Size, tiling: Tiling): Size[] {
  const stride = strideOf(tiling);
  const sides = (length: number): number[] => [
    ...new Set(
      Array.from({ length: Math.ceil(length / stride) }, (_, i) =>
        Math.min(tiling.tileIn, length - i * stride),
      ),
    ),
  ];
  return sides(height).flatMap((rows) => sides(width).map((columns) => ({ height: rows, width: columns })));
}

/** From where one tile begins to where the next does. */
export function strideOf({ method, tileIn, overlap }: Tiling): number {
  return method === 'averaged' ? Math.trunc(tileIn * (1 - overlap)) : tileIn - Math.trunc(tileIn * overlap);
}
