/** @file Which tile a product gets: the table of tiles against the header, measured choices, parts where tiles are few. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MEASURED_TILES } from '../../native-cuda/src/kernels/measured-tiles.ts';
import { EIGHT_BITS_TILES, partialBytes, tileOf, TILES } from '../../native-cuda/src/kernels/tiles.ts';
import { FAKE_CARD } from './fake-native.ts';
import { NATIVE_CUDA } from './headers.ts';

const HOPPER = { device: FAKE_CARD };

/** Rows of a macro's X(...) lists in kernels/matrix_sm90.h. */
function headerTiles(macro: string): number[][] {
  const text = readFileSync(join(NATIVE_CUDA, 'kernels/matrix_sm90.h'), 'utf8');
  const body = text.split(`#define ${macro}(X)`)[1].split(/\n\n|#define/)[0];
  return [...body.matchAll(/X\(([^)]*)\)/g)].map(([, values]) => values.split(',').map(Number));
}

test('tiles are those of the header, in its order', () => {
  const lists = ['CALOTYPE_TILES_PLAIN', 'CALOTYPE_TILES_CLUSTER', 'CALOTYPE_TILES_SPLIT'];
  const header = lists.flatMap(headerTiles);
  expect(
    TILES.map(({ rows, columns, split, resident, isShared }) => [rows, columns, split, resident, isShared]),
  ).toEqual(
    header.map(([rows, columns, , , , , split, resident, turns]) => [
      rows,
      columns,
      split,
      resident,
      split === 1 && turns === 0,
    ]),
  );
});

test('those for operands of eight bits are as many', () => {
  expect(headerTiles('CALOTYPE_TILES_EIGHT_BITS')).toHaveLength(EIGHT_BITS_TILES);
});

test('measured choices name tiles that there are, once for each product', () => {
  for (const [, , , , , config, parts] of MEASURED_TILES) {
    expect(TILES[config]).toBeDefined();
    expect(parts === 1 || TILES[config].isShared).toBe(true);
  }
  expect(new Set(MEASURED_TILES.map((entry) => entry.slice(0, 5).join())).size).toBe(MEASURED_TILES.length);
  const [[m, n, depth, taps, phases, config, parts]] = MEASURED_TILES;
  expect(tileOf({ m, n, depth, taps, phases }, HOPPER)).toEqual({ config, parts });
});

test('products of few tiles and much depth are shared by all multiprocessors', () => {
  const sizes = { m: 130, n: 330, depth: 64 * 100, taps: 1, phases: 1 };
  const choice = tileOf(sizes, HOPPER);
  expect(choice).toEqual({ config: 0, parts: 5 });
  const [bytes] = partialBytes(sizes, choice);
  const { rows, columns } = TILES[0];
  expect(bytes).toBeGreaterThanOrEqual(4 * 5 * 2 * rows * 3 * columns);
  expect(tileOf({ ...sizes, depth: 64 * 39 }, HOPPER)).toEqual({ config: -1, parts: 1 });
  expect(tileOf({ ...sizes, m: 1e6 }, HOPPER).parts).toBe(1);
  expect(tileOf(sizes, { device: { ...FAKE_CARD, major: 8 } })).toEqual({ config: -1, parts: 1 });
  expect(partialBytes(sizes, { config: 0, parts: 1 })).toEqual([]);
});

test('gates are for tiles whose depth no cluster splits', () => {
  const split = MEASURED_TILES.find(([, , , , , config]) => TILES[config].split > 1);
  const [m, n, depth, taps, phases, config] = split ?? [];
  const sizes = { m: m!, n: n!, depth: depth!, taps: taps!, phases: phases! };
  expect(tileOf(sizes, HOPPER)).toEqual({ config, parts: 1 });
  expect(tileOf(sizes, HOPPER, true).config).not.toBe(config);
});
