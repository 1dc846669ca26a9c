/**
 * @file A Vitest reporter that makes README's support table from a run: feature by backend, in each cell the number of
 * tests in which that backend gave what diffusers gives. A test counts if it passed and compared numbers (toMatchNmse)
 * within the bounds that hold for its element type.
 *
 *   npm run support-table    runs the tests and writes the table
 *
 * Otherwise (`.ci/run`) it checks that the table in README.md claims nothing that the run did not show. Columns whose
 * backend is missing on this machine are left alone, and named.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { FEATURES } from '../test/features.ts';

const README = fileURLToPath(new URL('../README.md', import.meta.url));
const BEGIN = '<!-- support table: written by `npm run support-table` -->';
const END = '<!-- end of support table -->';

/** Backends, by the names of the suites that run on them, with the largest NMSE that counts. */
const COLUMNS = [
  { title: 'reference', suite: /\bon '?reference\b/, bound: 1e-6 },
  { title: 'CPU', suite: /\bon '?cpu\b|\bcpu in /, bound: 1e-6 },
  { title: 'WebGPU f32', suite: /\bon '?webgpu\b|\bwebgpu in .*\bf32\b/, bound: 1e-6 },
  { title: 'WebGPU f16', suite: /\bwebgpu in .*\bf16\b/, bound: 1e-3 },
] as const;

type Counts = Map<string, readonly number[]>;

// oxlint-disable-next-line import/no-default-export -- Vitest takes a reporter's default export
export default class SupportTable implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = countFeatures(modules);
    if (process.env['SUPPORT_TABLE'] === 'write') {
      writeFileSync(README, replaceTable(readFileSync(README, 'utf8'), formatTable(counts)));
      return;
    }
    const problems = compare(readTable(readFileSync(README, 'utf8')), counts);
    for (const problem of problems) process.stderr.write(`support table: ${problem}\n`);
    if (problems.length > 0) process.exitCode = 1;
  }
}

/** For each feature, how many tests show it on each backend. */
function countFeatures(modules: readonly TestModule[]): Counts {
  const shown = modules.flatMap((module) =>
    [...module.children.allTests('passed')].map((test) => ({ test, column: columnOf(test) })),
  );
  return new Map(
    FEATURES.map(({ feature, tests }) => [
      feature,
      COLUMNS.map(
        (_, index) => shown.filter(({ test, column }) => column === index && tests.test(nameOf(test))).length,
      ),
    ]),
  );
}

/** The column that a test counts for; -1 if none. */
function columnOf(test: TestCase): number {
  const { comparisons } = test.meta();
  return COLUMNS.findIndex(
    ({ suite, bound }) =>
      suite.test(test.fullName) && comparisons?.some((comparison) => comparison.bound <= bound),
  );
}

/** `pipelines/control.test.ts > on cpu > draws "text" as diffusers does`, without the quotes that Vitest puts around names. */
function nameOf(test: TestCase): string {
  return `${test.module.relativeModuleId.replace(/^test\//, '')} > ${test.fullName.replaceAll("'", '')}`;
}

function formatTable(counts: Counts): string {
  const rows = [
    ['', ...COLUMNS.map(({ title }) => title)],
    ['---', ...COLUMNS.map(() => '--:')],
    ...[...counts].map(([feature, numbers]) => [
      feature,
      ...numbers.map((count) => (count > 0 ? String(count) : '')),
    ]),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const pad = (cell: string, column: number): string => {
    if (/^-+:?$/.test(cell)) return cell.padStart(widths[column], '-');
    return column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]);
  };
  return rows.map((row) => `| ${row.map(pad).join(' | ')} |`).join('\n');
}

function replaceTable(readme: string, table: string): string {
  const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`README.md has no place for the support table (${BEGIN})`);
  return `${readme.slice(0, from + BEGIN.length)}\n\n${table}\n\n${readme.slice(to)}`;
}

/** The counts that README claims. */
function readTable(readme: string): Counts {
  const lines = readme
    .slice(readme.indexOf(BEGIN) + BEGIN.length, readme.indexOf(END))
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2);
  return new Map(
    lines.map((line) => {
      const [feature, ...cells] = line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim());
      return [feature, cells.map(Number)] as const;
    }),
  );
}

/** What a table claims that a run did not show. */
function compare(claimed: Counts, shown: Counts): string[] {
  const missing = COLUMNS.map((_, index) => [...shown.values()].every((counts) => counts[index] === 0));
  COLUMNS.forEach(({ title }, index) => {
    if (missing[index])
      process.stderr.write(`support table: nothing ran on ${title}; its column is not checked\n`);
  });
  const features = new Set([...claimed.keys(), ...shown.keys()]);
  return [...features].flatMap((feature) => {
    const [before, now] = [claimed.get(feature), shown.get(feature)];
    if (!before || !now)
      return [`"${feature}" is ${now ? 'missing from' : 'only in'} README.md: npm run support-table`];
    return COLUMNS.flatMap(({ title }, index) =>
      missing[index] || now[index] >= before[index]
        ? []
        : [`"${feature}" on ${title}: README.md counts ${before[index]} tests, ${now[index]} passed`],
    );
  });
}
