/** @file The public API of @calotype/cuda. */

export { cuda, type CudaOptions } from './cuda.ts';
