/**
 * @file What runs inside another runtime for the tests: the bundled library, asked questions by a test process.
 *
 * Questions and answers are plain JSON, so that a pipe (Deno) and a page's script channel carry the same ones.
 */
import * as calotype from '../../src/index.ts';
import type { BackendFactory } from '../../src/backends/backend.ts';
import { TEST_CASES } from '../cases/index.ts';
import { computeCase } from './compute-case.ts';
import type { DrawnCases } from './drawn/drawn-cases.ts';
import { sharedBackend } from './shared-backend.ts';

type DType = calotype.FloatDType;

/** What a test process asks; a backend is opened by the first question that names it. */
export type Question =
  /** Answers with JSON, a `GuestBackend`. */
  | { readonly ask: 'describe'; readonly backend: string }
  /** Computes an op case by name; answers with its output. */
  | { readonly ask: 'compute'; readonly backend: string; readonly dtype: DType; readonly testCase: string }
  /** Draws with a model, by the public API; answers with the final latents. */
  | DrawQuestion
  /** Draws a case of a fixture, where the guest has the fixtures; answers with what it drew. */
  | CaseQuestion;

interface DrawQuestion {
  readonly ask: 'draw';
  readonly backend: string;
  readonly dtype: DType;
  readonly model: string;
  readonly options: calotype.CallOptions;
}

interface CaseQuestion {
  readonly ask: 'case';
  readonly backend: string;
  readonly dtype: 'f32' | 'f16';
  readonly suite: string;
  readonly name: string;
}

/** What a backend is in a guest, or why it cannot be had. */
export type GuestBackend =
  { readonly description: string; readonly dtypes: readonly DType[] } | { readonly reason: string };

/** Answers a question; float32 arrays are base64 of their little-endian bytes. */
export type Guest = (question: Question) => Promise<string>;

/**
 * A guest with no backend open yet.
 * @param suites cases of fixtures, in runtimes that can read them
 */
export function createGuest(suites: Readonly<Record<string, DrawnCases>> = {}): Guest {
  const factories = new Map<string, BackendFactory>();
  /** One device for all questions that name it. */
  const factoryOf = (name: string): BackendFactory => {
    const factory = factories.get(name) ?? sharedBackend(backendFactory(name));
    factories.set(name, factory);
    return factory;
  };
  const open = (name: string): ReturnType<BackendFactory['open']> => factoryOf(name).open();
  // The pipeline that drew last; another takes its place.
  let loaded: { readonly key: string; readonly pipe: calotype.DiffusionPipeline } | undefined;
  const load = async ({ backend, dtype, model }: DrawQuestion): Promise<calotype.DiffusionPipeline> => {
    const key = [backend, dtype, model].join(' ');
    if (loaded?.key !== key) {
      await loaded?.pipe.dispose();
      const backends = [factoryOf(backend)];
      const pipe = await calotype.DiffusionPipeline.fromPretrained(model, { backends, dtype });
      loaded = { key, pipe };
    }
    return loaded.pipe;
  };
  return async (question) => {
    switch (question.ask) {
      case 'describe': {
        const backend = await open(question.backend);
        const answer: GuestBackend =
          'reason' in backend
            ? { reason: backend.reason }
            : { description: backend.description, dtypes: backend.dtypes };
        return JSON.stringify(answer);
      }
      case 'compute': {
        const backend = await open(question.backend);
        if ('reason' in backend) throw new Error(backend.reason);
        const testCase = TEST_CASES.find(({ name }) => name === question.testCase);
        if (!testCase) throw new RangeError(`no case ${question.testCase}`);
        return toBase64(await computeCase(backend, question.dtype, testCase));
      }
      case 'draw': {
        const pipe = await load(question);
        const { latents } = await pipe({ ...question.options, outputType: 'latent' });
        return toBase64(latents!.data);
      }
      case 'case': {
        const { backend, dtype, suite, name } = question;
        const pipe = await suites[suite].open(name, { factory: factoryOf(backend), dtype });
        const { data } = await suites[suite].draw(pipe, name);
        await pipe.dispose();
        return toBase64(data);
      }
    }
  };
}

/** The public function that makes a backend of this name, software adapters included. */
function backendFactory(name: string): BackendFactory {
  switch (name) {
    case 'webgpu':
      return calotype.webgpu({ adapter: 'any' });
    case 'cpu':
      return calotype.cpu();
    default:
      throw new RangeError(`no backend ${name}`);
  }
}

function toBase64(data: Float32Array): string {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  let text = '';
  // Function arguments are limited in number.
  for (let at = 0; at < bytes.length; at += 8192)
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
