/** @file A call as users take it: step by step, or its result alone. */

import type { DenoisingStep, PipelineOutput } from './draw.ts';

/** A running call: its steps as they are queued, and its result. */
export interface PipelineStream extends AsyncGenerator<DenoisingStep, PipelineOutput, void> {
  /** The call's result, once its steps have been taken (or an early `return` rejected it). */
  readonly output: Promise<PipelineOutput>;
}

/** The steps of a call that is drawn as they are taken. */
type Steps = AsyncGenerator<DenoisingStep, PipelineOutput, void>;

/** A promise to be settled from outside; rejections that nobody looks at are not reported as unhandled. */
function deferred<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (reason: unknown) => void;
} {
  let resolve: (value: T) => void = () => undefined;
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => ([resolve, reject] = [yes, no]));
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/** Steps with their result beside them. */
export function withOutput(steps: Steps): PipelineStream {
  const result = deferred<PipelineOutput>();
  async function* forward(): Steps {
    try {
      const output = yield* steps;
      result.resolve(output);
      return output;
    } catch (error) {
      result.reject(error);
      throw error;
    } finally {
      // Does nothing where the result is settled: only a stream that was left early comes here without one.
      result.reject(new DOMException('The stream was left before its last step', 'AbortError'));
    }
  }
  return Object.assign(forward(), { output: result.promise });
}

/** Takes all steps of a call. */
export async function drain<T>(
  steps: AsyncGenerator<DenoisingStep, T, void>,
  onStep?: (step: DenoisingStep) => unknown,
): Promise<T> {
  for (;;) {
    const next = await steps.next();
    if (next.done === true) return next.value;
    await onStep?.(next.value);
  }
}
