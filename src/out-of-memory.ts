/** @file What engines throw when they have no memory for an array, made an OutOfMemoryError. */
import { CalotypeError, OutOfMemoryError } from './errors.ts';

/** What can be changed where memory is short. */
export const LESS_MEMORY =
  'Use a smaller size or fewer pictures at once, give a budget of memory (`memory`), or close what else takes memory';

/**
 * "Array buffer allocation failed" (V8), "Out of memory" (JavaScriptCore), "out of memory" and "allocation size overflow"
 * (SpiderMonkey), and what their WebAssembly memories say. Sizes that are no sizes are RangeErrors too, but bugs.
 */
const NO_MEMORY = /out of memory|allocat/i;

/** The error, typed if it is an engine's about memory. */
export function typedMemoryError(error: unknown): unknown {
  if (error instanceof CalotypeError) return error;
  // SpiderMonkey throws a mere string where even an error would take too much.
  const message = error instanceof Error ? error.message : typeof error === 'string' ? error : '';
  const isEngines = !(error instanceof Error) || ['RangeError', 'InternalError'].includes(error.name);
  if (!isEngines || !NO_MEMORY.test(message)) return error;
  return new OutOfMemoryError(`there is no memory left: ${message}`, { remedy: LESS_MEMORY, cause: error });
}
