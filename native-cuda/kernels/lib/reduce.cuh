// Sums over the threads of a warp and of a block, in a fixed order.
#pragma once

__device__ inline float warp_sum(float value) {
  for (int lane = 16; lane > 0; lane /= 2) value += __shfl_xor_sync(0xffffffffu, value, lane);
  return value;
}

// The sum over a block of whole warps, in every thread. `shared` holds a float for each warp.
__device__ inline float block_sum(float value, float* shared) {
  const int warps = blockDim.x / 32;
  value = warp_sum(value);
  __syncthreads();
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0.0f;
  for (int warp = 0; warp < warps; warp++) sum += shared[warp];
  return sum;
}
