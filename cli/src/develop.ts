/** @file Runs the library for `calotype generate`: the one place where the command meets the pipelines. */
import { DiffusionPipeline, encodePng, reference, SCHEDULERS, webgpu } from 'calotype';
import type { BackendFactory } from 'calotype';
import type { Advance } from './progress.ts';
import type { GenerateRequest } from './request.ts';

/** A request with everything decided. */
export interface DevelopRequest extends GenerateRequest {
  readonly model: string;
  readonly signal: AbortSignal;
  readonly onAdvance: (advance: Advance) => void;
}

/** A finished picture and what there is to say about it. */
export interface Developed {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly seed: number;
  readonly backend: string;
  readonly adapter: string;
  readonly notices: readonly string[];
}

/** Loads the model, draws one picture and encodes it as PNG, with its parameters in text chunks. */
export async function develop(request: DevelopRequest): Promise<Developed> {
  const { model, prompt, negative, revision, variant, dtype, scheduler, seed, settings, signal, onAdvance } = request;
  onAdvance({ phase: 'loading', done: 0, total: 1 });
  const pipe = await DiffusionPipeline.fromPretrained(model, {
    backends: backendsOf(request.backend),
    dtype,
    signal,
    onProgress: ({ phase, done, total }) => onAdvance({ phase: phase === 'kernels' ? 'compiling' : 'loading', done, total }),
    ...(revision !== undefined && { revision }),
    ...(variant !== undefined && { variant }),
  });
  try {
    if (scheduler !== undefined) pipe.scheduler = SCHEDULERS[scheduler].fromConfig(pipe.scheduler.config);
    const steps = pipe.stream({
      prompt,
      ...(negative !== undefined && { negativePrompt: negative }),
      ...(seed !== undefined && { seed }),
      ...settings,
      signal,
    });
    let next = await steps.next();
    while (!next.done) {
      const { index, total, finished } = next.value;
      if (index === 0) onAdvance({ phase: 'step', done: 0, total });
      await finished;
      onAdvance({ phase: 'step', done: index + 1, total });
      if (index + 1 === total) onAdvance({ phase: 'decoding', done: 0, total: 1 });
      next = await steps.next();
    }
    const { images, seed: usedSeed, truncatedPrompts } = next.value;
    const [image] = images;
  } finally {
    await pipe.dispose();
  }
}
