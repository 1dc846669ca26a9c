/** @file The command line as a whole: exit codes, refusals before any work, and that nothing is left behind. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runProgram } from '../../cli/src/command.ts';
import { messageForCommand } from '../../cli/src/option-names.ts';
import { program } from '../../cli/src/program.ts';
import { ConfigError, OptionError } from '../../src/index.ts';

let folder: string;
let out: string;
let err: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'calotype-cli-'));
  out = '';
  err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => Boolean((out += String(text))));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => Boolean((err += String(text))));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

const calotype = (...argv: string[]): Promise<number> => runProgram(program, argv);

describe('help and version', () => {
  it('prints the commands without arguments', async () => {
    expect(await calotype()).toBe(0);
    for (const name of ['generate', 'inspect', 'doctor', 'bench']) expect(out).toContain(name);
  });

  it('prints the options of a command', async () => {
    expect(await calotype('generate', '--help')).toBe(0);
    for (const name of ['--steps', '--size', '--seed', '--output']) expect(out).toContain(name);
    // Nothing is wider than a terminal, and the text is whole.
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    expect(out).not.toMatch(/ $/m);
    expect(out.replace(/\s+/g, ' ')).toContain('the first of the first three that works (auto)');
  });

  it('prints the version', async () => {
    expect(await calotype('--version')).toBe(0);
    expect(out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('errors of the library', () => {
  it.each([
    { field: 'memory.componentBudgets.vae', as: '--component-budget: ' },
    { field: 'clipSkip', as: '--clip-skip: ' },
    { field: 'numInferenceSteps', as: '--steps: ' },
    { field: 'somethingElse', as: 'somethingElse: ' },
  ])('name $field as the command does', ({ field, as }) => {
    const error = new OptionError('it is wrong', { field, remedy: 'Use another one of `backends`' });
    expect(messageForCommand(error)).toBe(`${as}it is wrong. Use another one of --backend`);
  });

  it('name fields of files as the files do', () => {
    const error = new ConfigError('is missing', { file: 'recipe.json', field: 'seed', remedy: 'Add it' });
    expect(messageForCommand(error)).toBe(error.message);
  });
});

describe('refusals', () => {
  it.each([
    { argv: ['generat', 'x'], says: /no command 'generat'.*Did you mean generate\?/ },
    { argv: ['generate'], says: /PROMPT: is missing/ },
    { argv: ['generate', 'a', 'red', 'apple'], says: /'red' is one argument too many.*quotes/ },
    { argv: ['generate', 'x', '--setps', '4'], says: /--setps: is not an option.*Did you mean --steps\?/ },
    { argv: ['generate', 'x', '-q'], says: /-q: is not an option/ },
    { argv: ['generate', 'x', '--steps'], says: /--steps: lacks its value/ },
    { argv: ['generate', 'x', '--steps', '0'], says: /--steps: '0' is not a whole number from 1/ },
    { argv: ['generate', 'x', '--steps', '-4'], says: /--steps: '-4' is not a whole number from 1/ },
    { argv: ['generate', 'x', '--steps=2.5'], says: /--steps: '2\.5' is not a whole number/ },
    { argv: ['generate', 'x', '--size', '250x256'], says: /--size: 250x256 is not a multiple of 8.*248x256/ },
    { argv: ['generate', 'x', '--guidance', 'nan'], says: /--guidance: 'nan' is not a number/ },
    { argv: ['generate', 'x', '--seed', 'x'], says: /--seed: 'x' is not a whole number/ },
    { argv: ['generate', 'x', '--seed', '-1'], says: /--seed: '-1' is not a whole number from 0/ },
    { argv: ['generate', 'x', '--backend', 'opencl'], says: /--backend: 'opencl' is not one of its choices/ },
    { argv: ['generate', 'x', '-o', 'picture.jpg'], says: /--output: .*\.png/ },
    { argv: ['generate', 'x', '--mask', 'm.png'], says: /--mask: there is no image.*--image/ },
    { argv: ['generate', 'x', '--strength', '0.5'], says: /--strength: there is no image.*--image/ },
    {
      argv: ['generate', 'x', '-i', 'a.png', '--strength', '2'],
      says: /--strength: '2' is not a number from 0/,
    },
    { argv: ['generate', 'x', '--image', 'no/such.png'], says: /--image: 'no\/such.png' cannot be read/ },
    { argv: ['doctor', '--verbose'], says: /--verbose: is not an option/ },
    { argv: ['doctor', '--no-such'], says: /--no-such: is not an option/ },
    { argv: ['doctor', 'all'], says: /'all' is one argument too many\. Leave it out/ },
    // What the library refuses is called what was typed.
    { argv: ['generate', 'x', '--budget', 'lots'], says: /: --budget: "lots" is no number of bytes/ },
  ])('$argv', async ({ argv, says }) => {
    expect(await calotype(...argv)).toBe(2);
    expect(err).toMatch(says);
    expect(out).toBe('');
  });

  it('a missing output folder, and a folder in place of a file', async () => {
    expect(await calotype('generate', 'x', '-o', join(folder, 'missing', 'x.png'))).toBe(2);
    expect(err).toMatch(/--output: the folder '.*missing' does not exist.*mkdir/);
    await mkdir(join(folder, 'folder.png'));
    expect(await calotype('generate', 'x', '-o', join(folder, 'folder.png'))).toBe(2);
    expect(await readdir(folder)).toEqual(['folder.png']);
  });
});
