/** @file The arguments of `calotype serve`, which the server and the processes of its runners read alike. */
import { readFileSync } from 'node:fs';
import { OptionError, readBytes } from 'calotype';
import type { AddedSource, Limits, NamedSource } from '@calotype/server';
import { readAddedSources, readSources } from '@calotype/server/runner';
import { ADDITION_ARGS } from './addition-args.ts';
import { argumentReader, listOf } from './arguments.ts';
import { BACKEND_ARGS, readBackend, type BackendChoice } from './backends.ts';
import { COMPONENT_ARGS, readComponentBackends, type ComponentChoices } from './component-backends.ts';
import { isCard } from './card.ts';
import { readChoice, readInteger } from './options.ts';
import { starterModel } from './starter.ts';

const DTYPES = ['auto', 'f16', 'f32'] as const;
const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

/** What shall compute, and with what. */
export interface RunnerRequest {
  readonly models: readonly NamedSource[];
  readonly loras: readonly NamedSource[];
  readonly controlnets: readonly AddedSource[];
  readonly ipAdapters: readonly AddedSource[];
  /** Folder of the image encoder of IP-Adapters. */
  readonly imageEncoder?: string;
  readonly backend: BackendChoice;
  readonly components: ComponentChoices;
  readonly dtype: (typeof DTYPES)[number];
  /** Models in memory at once, in each runner; default one, or what the budget holds. */
  readonly held?: number;
  /** Bytes that they may take. */
  readonly memoryBytes?: number;
  /** Pictures that a runner draws at a time. */
  readonly maxBatch: number;
  /** NVIDIA cards (`0`) or groups of CPUs (`0-3`), one runner for each; empty for one runner on what the backend finds. */
  readonly devices: readonly string[];
}

/** What `calotype serve` was asked for. */
export interface ServeRequest extends RunnerRequest {
  /** Where jobs go if not to runners of this command. */
  readonly redis: { readonly url: string; readonly storage: string } | undefined;
  /** Where pictures lie for workers, and those that are asked for by address. */
  readonly storage: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly capacity: number;
  readonly attempts: number;
  readonly limits: Partial<Limits>;
  /** Text of the file of keys. */
  readonly keys: { readonly file: string; readonly text: string } | undefined;
  readonly origins: readonly string[];
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly logPrompts: boolean;
}

/** Arguments of everything that computes. */
const RUNNER_ARGS = {
  model: {
    type: 'string',
    alias: 'm',
    valueHint: '[name=]model',
    description:
      'Folder, Hub id or .safetensors; once for each model, the first is the default (the starter model)',
  },
  lora: {
    type: 'string',
    valueHint: '[name=]file',
    description: 'LoRA that prompts may name as <lora:name:weight>; once for each',
  },
  controlnet: {
    type: 'string',
    valueHint: '[[model:]name=]net',
    description: 'ControlNet that requests may name, for all models or one; once for each',
  },
  'ip-adapter': {
    type: 'string',
    valueHint: '[[model:]name=]file',
    description: 'IP-Adapter (.safetensors, or owner/name/folder/file on the Hub), likewise',
  },
  'image-encoder': ADDITION_ARGS['image-encoder'],
  dtype: { type: 'string', valueHint: DTYPES.join('|'), description: 'Storage of weights (auto)' },
  'max-models': {
    type: 'string',
    valueHint: 'n',
    description: 'Models in memory at once (1, or what --memory holds)',
  },
  memory: {
    type: 'string',
    valueHint: 'bytes',
    description:
      'What models may take of a device together, such as 20GB; the idle ones go first (all of it)',
  },
  devices: {
    type: 'string',
    valueHint: '0,1|0-3,4-7',
    description:
      'NVIDIA cards (numbers or UUIDs), or groups of CPUs, with a process for each (one on what is found)',
  },
  batch: {
    type: 'string',
    valueHint: 'n',
    description:
      'Pictures that a process draws at a time, each at its own step; 1 for one after the other (4)',
  },
  ...BACKEND_ARGS,
  ...COMPONENT_ARGS,
} as const;

const HOST_ARG = {
  host: {
    type: 'string',
    valueHint: 'address',
    description: '0.0.0.0 for all networks (127.0.0.1: this machine)',
  },
} as const;

const LOG_ARG = {
  'log-level': {
    type: 'string',
    valueHint: LOG_LEVELS.join('|'),
    description: 'JSON lines on stdout (info)',
  },
} as const;

const STORAGE_ARG = {
  storage: {
    type: 'string',
    valueHint: 'folder|s3://bucket/prefix',
    description: 'Where pictures lie that are asked for by address, and those between servers and workers',
  },
} as const;

/** Arguments of `calotype worker`. */
export const WORKER_ARGS = {
  queue: {
    type: 'string',
    valueHint: 'redis://host:port',
    description: 'Redis or Valkey, with jobs of servers',
  },
  ...STORAGE_ARG,
  ...RUNNER_ARGS,
  attempts: { type: 'string', valueHint: 'n', description: 'Times that a job is begun when workers die (2)' },
  lock: {
    type: 'string',
    valueHint: 'seconds',
    description: 'After which the jobs of a worker that is not heard of go to others (30)',
  },
  port: {
    type: 'string',
    alias: 'p',
    valueHint: 'n',
    description: 'TCP port of /health, /ready and /metrics (none)',
  },
  ...HOST_ARG,
  ...LOG_ARG,
} as const;

/** What `calotype worker` was asked for. */
export interface WorkerRequest extends RunnerRequest {
  readonly queue: string;
  readonly storage: string;
  readonly attempts: number;
  readonly lockSeconds: number;
  /** Where health and metrics are asked for. */
  readonly port: number | undefined;
  readonly host: string;
  readonly logLevel: (typeof LOG_LEVELS)[number];
}

/** Arguments of `calotype serve`. */
export const SERVE_ARGS = {
  queue: {
    type: 'string',
    valueHint: 'redis://host:port',
    description: 'Leave drawing to `calotype worker`s on this Redis or Valkey (draw in this command)',
  },
  ...STORAGE_ARG,
  port: { type: 'string', alias: 'p', valueHint: 'n', description: 'TCP port; 0 takes a free one (7860)' },
  ...HOST_ARG,
  ...RUNNER_ARGS,
  keys: {
    type: 'string',
    valueHint: 'file',
    description: 'Who may ask: a line NAME KEY for each (everybody)',
  },
  'queue-size': { type: 'string', valueHint: 'n', description: 'Jobs that may wait; others get 429 (32)' },
  attempts: {
    type: 'string',
    valueHint: 'n',
    description: 'Times that a job is tried when its process dies (2)',
  },
  concurrent: { type: 'string', valueHint: 'n', description: 'Requests that one key may have in work (16)' },
  rate: { type: 'string', valueHint: 'n', description: 'Requests a minute of one key; 0 for any (0)' },
  'max-pixels': { type: 'string', valueHint: 'n', description: 'Width times height of a picture (4194304)' },
  'max-steps': { type: 'string', valueHint: 'n', description: 'Steps of a picture (150)' },
  'max-pictures': { type: 'string', valueHint: 'n', description: 'Pictures of a request (10)' },
  'max-body': { type: 'string', valueHint: 'bytes', description: "A request's size (52428800)" },
  'max-connections': { type: 'string', valueHint: 'n', description: 'Connections at a time (1024)' },
  stall: {
    type: 'string',
    valueHint: 'seconds',
    description: 'That a client may read nothing of its answer (30)',
  },
  timeout: { type: 'string', valueHint: 'seconds', description: 'From the request to its pictures (600)' },
  origin: { type: 'string', valueHint: 'url,...', description: 'Origins whose pages may ask: CORS (none)' },
  ...LOG_ARG,
  'log-prompts': { type: 'boolean', description: 'Write prompts to the log' },
} as const;

/** Reads the arguments as citty gives them, and those that may be given more than once from the command line itself. */
export function readServeRequest(
  args: Readonly<Record<string, unknown>>,
  rawArgs: readonly string[],
): ServeRequest {
  const { text, count } = readers(args);
  const limits: { readonly [K in keyof Limits]: number | undefined } = {
    pixels: count('max-pixels', 64),
    steps: count('max-steps', 1),
    pictures: count('max-pictures', 1),
    bodyBytes: count('max-body', 1024),
    jobSeconds: count('timeout', 1, 1_000_000),
    concurrent: count('concurrent', 1),
    perMinute: count('rate', 0),
    connections: count('max-connections', 1),
    stallSeconds: count('stall', 1, 86_400),
  };
  const keys = text('keys');
  const queue = text('queue');
  return {
    ...readRunnerRequest(args, rawArgs),
    storage: text('storage'),
    redis: queue === undefined ? undefined : { url: readRedis(queue), storage: readStorage(text('storage')) },
    host: text('host') ?? '127.0.0.1',
    port: count('port', 0, 65_535) ?? 7860,
    capacity: count('queue-size', 0) ?? 32,
    attempts: count('attempts', 1) ?? 2,
    limits: Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)),
    keys: keys === undefined ? undefined : { file: keys, text: readKeyFile(keys) },
    origins: listOf(text('origin')),
    logLevel: readLogLevel(text('log-level')),
    logPrompts: args['log-prompts'] === true,
  };
}

/** The arguments of `calotype worker`, likewise. */
export function readWorkerRequest(
  args: Readonly<Record<string, unknown>>,
  rawArgs: readonly string[],
): WorkerRequest {
  const { text, count } = readers(args);
  return {
    ...readRunnerRequest(args, rawArgs),
    queue: readRedis(text('queue')),
    storage: readStorage(text('storage')),
    attempts: count('attempts', 1) ?? 2,
    lockSeconds: count('lock', 1, 3600) ?? 30,
    port: count('port', 0, 65_535),
    host: text('host') ?? '127.0.0.1',
    logLevel: readLogLevel(text('log-level')),
  };
}

function readers(args: Readonly<Record<string, unknown>>) {
  const { text, read } = argumentReader<string>(args);
  const count = (name: string, min: number, max = Number.MAX_SAFE_INTEGER): number | undefined =>
    read(name, (option, value) => readInteger(option, value, { min, max }));
  return { text, count };
}

function readLogLevel(text = 'info') {
  return readChoice('--log-level', text, LOG_LEVELS);
}

function readRedis(url: string | undefined): string {
  if (url !== undefined && /^rediss?:\/\/./.test(url)) return url;
  throw new OptionError(url === undefined ? 'is missing' : `'${url}' is no address of a Redis`, {
    field: '--queue',
    remedy: 'Give --queue redis://host:port.',
  });
}

function readStorage(address: string | undefined): string {
  if (address !== undefined) return address;
  throw new OptionError('is missing', {
    field: '--storage',
    remedy: 'Give a folder that servers and workers share, or s3://bucket/prefix.',
  });
}

/** The part that runners need. */
export function readRunnerRequest(
  args: Readonly<Record<string, unknown>>,
  rawArgs: readonly string[],
): RunnerRequest {
  const given = readSources('--model', everyValue(rawArgs, ['--model', '-m']));
  const models = given.length > 0 ? given : [{ name: 'emoji-starter', source: starterModel() }];
  const added = (option: string): AddedSource[] =>
    readAddedSources(option, everyValue(rawArgs, [option]), models);
  const backend = readBackend(args);
  const { text, count } = readers(args);
  const { dtype } = args;
  const imageEncoder = text('image-encoder');
  const [held, memory] = [count('max-models', 1), text('memory')];
  return {
    models,
    loras: readSources('--lora', everyValue(rawArgs, ['--lora'])),
    controlnets: added('--controlnet'),
    ipAdapters: added('--ip-adapter'),
    ...(imageEncoder !== undefined && { imageEncoder }),
    backend,
    components: readComponentBackends(args),
    dtype: readChoice('--dtype', typeof dtype === 'string' ? dtype : 'auto', DTYPES),
    ...(held !== undefined && { held }),
    ...(memory !== undefined && { memoryBytes: readBytes('--memory', memory) }),
    maxBatch: count('batch', 1, 64) ?? 4,
    devices: readDevices(text('devices'), backend.name),
  };
}

/** @throws OptionError for what the backend does not have */
function readDevices(text: string | undefined, backend: BackendChoice['name']): string[] {
  const devices = listOf(text);
  const field = '--devices';
  if (devices.length > 0 && backend !== 'cuda' && backend !== 'cpu')
    throw new OptionError('is of NVIDIA cards and of CPUs', {
      field,
      remedy: 'Give --backend cuda or --backend cpu with it, or leave it out.',
    });
  const isDevice = backend === 'cpu' ? isGroup : isCard;
  const wrong = devices.find((device) => !isDevice(device));
  if (wrong !== undefined)
    throw new OptionError(`'${wrong}' is none`, {
      field,
      remedy:
        backend === 'cpu'
          ? 'Give groups of CPUs, such as --devices 0-3,4-7.'
          : 'Give the numbers or UUIDs of cards, such as --devices 0,1.',
    });
  return [...devices];
}

function isGroup(text: string): boolean {
  return /^\d{1,4}(-\d{1,4})?$/.test(text) && cpusOf(text) >= 1;
}

/** CPUs in a group, `3` or `0-3`. */
export function cpusOf(group: string): number {
  const [first, last = first] = group.split('-').map(Number);
  return last - first + 1;
}

/** The values of an option that may be given more than once; citty knows the last one only. */
function everyValue(rawArgs: readonly string[], names: readonly string[]): string[] {
  return rawArgs.flatMap((argument, i) => {
    if (names.includes(argument)) return rawArgs.slice(i + 1, i + 2);
    const name = names.find((one) => argument.startsWith(`${one}=`));
    return name === undefined ? [] : [argument.slice(name.length + 1)];
  });
}

function readKeyFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new OptionError(`'${path}' cannot be read`, {
      field: '--keys',
      remedy: 'Give a text file with a line NAME KEY for each.',
      cause,
    });
  }
}
