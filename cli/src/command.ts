/** @file Runs one subcommand, strictly: citty ignores options that it does not know, this refuses them. */
import { stripVTControlCharacters } from 'node:util';
import { BackendUnavailableError, CalotypeError, OptionError } from 'calotype';
import { parseArgs, renderUsage, runCommand } from 'citty';
import type { ArgsDef, CommandDef, CommandMeta, SubCommandsDef } from 'citty';
import { INTERRUPTED_EXIT_CODE, InterruptedError } from './interrupt.ts';
import { messageForCommand } from './option-names.ts';
import { suggest } from './options.ts';
import { layOutUsage } from './usage.ts';

/** What the command `calotype` is made of: its description and its lazily loaded subcommands. */
export interface Program {
  readonly meta: CommandMeta & { readonly name: string; readonly version: string };
  readonly commands: SubCommandsDef;
}

/** 0: done; 1: the run failed; 2: the command line was wrong; 130: stopped by Ctrl-C. */
export type ExitCode = 0 | 1 | 2 | typeof INTERRUPTED_EXIT_CODE;

/**
 * Runs the program with the arguments after its name, and reports errors on standard error.
 *
 * @returns the exit code.
 */
export async function runProgram(program: Program, argv: readonly string[]): Promise<ExitCode> {
  try {
    await dispatch(program, argv);
    return 0;
  } catch (error) {
    return report(program, error);
  }
}

async function dispatch(program: Program, argv: readonly string[]): Promise<void> {
  const { meta, commands } = program;
  const [name, ...rest] = argv;
  if (name === undefined || isHelp(name) || (name === 'help' && rest.length === 0)) {
    printUsage(await renderUsage({ meta, subCommands: commands }));
  } else if (name === '--version' || name === '-v') {
    print(meta.version);
  } else {
    const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (load === undefined) {
      const names = Object.keys(commands);
      throw new OptionError(`there is no command '${name}'`, {
        remedy: `${suggest(name, names)}The commands are ${names.join(', ')}.`,
      });
    }
    const command: CommandDef = await resolve(load);
    const end = rest.indexOf('--');
    if (rest.slice(0, end < 0 ? undefined : end).some(isHelp)) {
      printUsage(await renderUsage(command, { meta }));
    } else {
      checkArguments(await resolve(command.args ?? {}), rest);
      await runCommand(command, { rawArgs: [...rest] });
    }
  }
}

/**
 * Checks raw arguments against the definition of a command.
 *
 * @throws OptionError for an unknown option, an option without its value, or a missing or surplus positional.
 */
export function checkArguments(definitions: ArgsDef, rawArgs: readonly string[]): void {
  const names = Object.entries(definitions).filter(([, { type }]) => type !== 'positional');
  const aliases = names.flatMap(([, definition]) =>
    'alias' in definition ? [definition.alias ?? []].flat() : [],
  );
  // citty gives options of several words under both of their forms.
  const camelCased = names.map(([name]) =>
    name.replace(/-(\w)/g, (_match, letter: string) => letter.toUpperCase()),
  );
  const known = new Set([...names.map(([name]) => name), ...camelCased, ...aliases]);
  // Positionals are counted below with a better message than citty's.
  const parsed = parseArgs([...rawArgs], Object.fromEntries(names));
  for (const key of Object.keys(parsed)) {
    if (key === '_' || known.has(key)) continue;
    const nearest = suggest(
      `--${key}`,
      names.map(([name]) => `--${name}`),
    );
    throw new OptionError('is not an option', {
      // citty takes --no-x for an x that is false.
      field: rawArgs.find((typed) => typed === `--no-${key}`) ?? (key.length === 1 ? `-${key}` : `--${key}`),
      remedy: `${nearest}See --help for the options.`,
    });
  }
  for (const [name, { type }] of names) {
    if (type !== 'boolean' && parsed[name] === '') {
      throw new OptionError('lacks its value', { field: `--${name}`, remedy: `Give --${name} VALUE.` });
    }
  }
  checkPositionals(definitions, parsed._);
}

function checkPositionals(definitions: ArgsDef, given: readonly string[]): void {
  const positionals = Object.entries(definitions).filter(([, { type }]) => type === 'positional');
  const missing = positionals.find(([, { required }], index) => required !== false && index >= given.length);
  if (missing) {
    throw new OptionError('is missing', {
      field: missing[0].toUpperCase(),
      remedy: `${missing[1].description}. See --help.`,
    });
  }
  if (given.length > positionals.length) {
    throw new OptionError(`'${given[positionals.length]}' is one argument too many`, {
      remedy:
        positionals.length > 0
          ? 'Put a text of several words in quotes, as in "a red apple, 3D".'
          : 'Leave it out. See --help.',
    });
  }
}

function report(program: Program, error: unknown): ExitCode {
  if (error instanceof InterruptedError) {
    process.stderr.write(`${error.message}\n`);
    return INTERRUPTED_EXIT_CODE;
  }
  if (error instanceof CalotypeError) {
    process.stderr.write(`${program.meta.name}: ${messageForCommand(error)}\n`);
    if (error instanceof BackendUnavailableError)
      process.stderr.write(`\`${program.meta.name} doctor\` says what this machine offers.\n`);
    return error instanceof OptionError ? 2 : 1;
  }
  const details = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`${program.meta.name}: unexpected error; this is a bug in calotype.\n${details}\n`);
  return 1;
}

const isHelp = (argument: string): boolean => argument === '--help' || argument === '-h';

/** Prints usage; citty colours it whatever the output is. */
function printUsage(usage: string): void {
  print(layOutUsage(usage, Math.min(process.stdout.columns ?? 100, 100)));
}

function print(text: string): void {
  const coloured = process.stdout.isTTY && !process.env['NO_COLOR'];
  process.stdout.write(`${(coloured ? text : stripVTControlCharacters(text)).trimEnd()}\n`);
}

async function resolve<T>(value: T | Promise<T> | (() => T) | (() => Promise<T>)): Promise<T> {
  return value instanceof Function ? value() : value;
}
