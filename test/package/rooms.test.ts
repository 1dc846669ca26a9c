/** @file ARCHITECTURE.md's table of rooms, held to what the files in them import. */
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What cells of the table call the entries of the library that other packages may import. */
const ENTRIES = {
  'public API': /^calotype(\/(node|worker|cpu))?$/,
  'public API, backend kit': /^calotype(\/backend-kit)?$/,
};
const isEntries = (cell: string): cell is keyof typeof ENTRIES => cell in ENTRIES;

/** Folders of the table, in its order, with the last cell of their rows. */
function readTable(): readonly { readonly folder: string; readonly mayKnow: string }[] {
  const lines = readFileSync(posix.join(ROOT, 'ARCHITECTURE.md'), 'utf8').split('\n');
  return lines
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => {
      const [, folders, , mayKnow] = line.split('|').map((cell) => cell.trim());
      return [...folders.matchAll(/`([^`]+)\/`/g)].map(([, folder]) => ({ folder, mayKnow }));
    });
}

/** The modules that a folder's files import, by file; of this repository by their paths. */
function importsOf(folder: string): readonly (readonly [file: string, imported: string])[] {
  const files = readdirSync(posix.join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  return files
    .filter((name) => /\.tsx?$/.test(name))
    .flatMap((name) => {
      const file = posix.join(folder, name);
      const source = readFileSync(posix.join(ROOT, file), 'utf8').replace(/\/\*.*?\*\//gs, '');
      return [...source.matchAll(/(?:from|import\(|import)\s*'([^']+)'/g)].map(([, specifier]) => {
        const isRelative = specifier.startsWith('.');
        return [file, isRelative ? posix.join(posix.dirname(file), specifier) : specifier] as const;
      });
    });
}

const table = readTable();
const rooms = table.filter(({ folder }) => /^src\/\w+$/.test(folder));

/** Rooms and files that a room may know, in itself or through others. */
function knownTo(folder: string): ReadonlySet<string> {
  const known = new Set([folder]);
  for (const room of known) {
    const at = rooms.findIndex((row) => row.folder === room);
    for (const entry of rooms[at]?.mayKnow.split(', ') ?? []) {
      if (entry === 'all above') for (const above of rooms.slice(0, at)) known.add(above.folder);
      else if (entry !== 'nothing') known.add(posix.join('src', entry.replaceAll('`', '')));
    }
  }
  return known;
}

test('every folder of src is in the table', () => {
  const folders = readdirSync(posix.join(ROOT, 'src'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => `src/${name}`);
  expect(rooms.map(({ folder }) => folder).sort()).toEqual(folders.sort());
});

test.each(rooms)('$folder knows $mayKnow', ({ folder }) => {
  const known = knownTo(folder);
  const strangers = importsOf(folder).filter(([, imported]) => {
    if (!imported.startsWith('src/')) return false;
    const room = imported.split('/').slice(0, 2).join('/');
    // What is beside the rooms is for all of them.
    return !room.endsWith('.ts') && !known.has(room) && !known.has(imported);
  });
  expect(strangers).toEqual([]);
});

const packages = table.flatMap(({ folder, mayKnow }) => (isEntries(mayKnow) ? [{ folder, mayKnow }] : []));

test.each(packages)('$folder knows the $mayKnow', ({ folder, mayKnow }) => {
  const imported = importsOf(`${folder}/src`);
  const inside = imported.filter(([, path]) => path.startsWith('src/'));
  const entries = imported.filter(([, path]) => /^calotype(\/|$)/.test(path) && !ENTRIES[mayKnow].test(path));
  expect([...inside, ...entries]).toEqual([]);
  expect(imported.length).toBeGreaterThan(0);
});

test('what is beside the rooms knows none of them, but for the entries', () => {
  const entries = ['backend-kit', 'cpu', 'index', 'node'].map((name) => `src/${name}.ts`);
  const files = readdirSync(posix.join(ROOT, 'src')).filter((name) => name.endsWith('.ts'));
  const beside = files.map((name) => `src/${name}`).filter((file) => !entries.includes(file));
  const imported = importsOf('src').filter(([file]) => beside.includes(file));
  expect(imported.filter(([, path]) => path.startsWith('src/') && !beside.includes(path))).toEqual([]);
  expect(beside.length).toBeGreaterThan(0);
});
