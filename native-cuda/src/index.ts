/** @file The public API of @calotype/cuda. */

export { cuda, cudaDevices, type CudaDevice, type CudaOptions } from './cuda.ts';
export type { DeviceInfo } from './native.ts';
