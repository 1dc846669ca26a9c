/** @file A server on a free port with the tiny model, drawing in the test's own process. */
import { cpu } from '../../src/index.ts';
import {
  DEFAULT_LIMITS,
  type HostOptions,
  KeyRing,
  type Limits,
  MemoryQueue,
  PipelineHost,
  type Runner,
  serve,
  type ServeOptions,
} from '../../server/src/index.ts';
import { fixturePath } from '../support/fixtures.ts';

/** The model of `startServer`. */
export const MODELS = [{ name: 'tiny-sd', source: fixturePath('pipelines/tiny-sd') }];

/** Ways in which a test's server differs. */
export interface TestServer extends Partial<Omit<ServeOptions, 'limits' | 'port'>> {
  readonly limits?: Partial<Limits>;
  readonly capacity?: number;
  readonly maxBatch?: number;
  readonly runners?: readonly Runner[];
}

/** A runner in this process. */
export function localRunner(options: Partial<HostOptions> = {}): Runner {
  const host = new PipelineHost({
    models: MODELS,
    backends: () => [cpu({ threads: 2 })],
    maxBatch: 4,
    ...options,
  });
  return {
    name: 'local',
    ready: Promise.resolve(),
    draw: (job) => host.draw(job),
    close: () => host.dispose(),
  };
}

/** Starts a server; close it after use. */
export function startServer({ limits, capacity = 8, maxBatch = 4, runners, ...options }: TestServer = {}) {
  const queue =
    options.queue ??
    new MemoryQueue({
      runners: runners ?? [localRunner({ loras: options.loras ?? [] })],
      capacity,
      maxBatch,
      attempts: 2,
    });
  return serve({
    models: MODELS,
    loras: [],
    keys: new KeyRing(),
    logger: false,
    ...options,
    port: 0,
    queue,
    limits: { ...DEFAULT_LIMITS, ...limits },
  });
}
