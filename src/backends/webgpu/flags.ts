/** @file WebGPU's flag constants: their globals do not exist everywhere that a `GPU` object does (Node). */

/** GPUBufferUsage */
export const BUFFER_USAGE = {
  MAP_READ: 0x0001,
  MAP_WRITE: 0x0002,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
  QUERY_RESOLVE: 0x0200,
} as const;

/** GPUMapMode.READ */
export const MAP_READ = 1;
/** GPUMapMode.WRITE */
export const MAP_WRITE = 2;

/** GPUShaderStage.COMPUTE */
export const COMPUTE_STAGE = 4;
