/** @file A block a row. Each thread keeps a running maximum and sum of its elements; they are read twice, the second time from the cache. */
#include "softmax_rows.h"

#include <cuda_runtime.h>

namespace {

constexpr int kThreads = 512, kWarps = kThreads / 32;

/** A sum of exp(x - largest), and that largest x. */
struct Running {
  float largest, sum;
};

__device__ Running joined(Running a, Running b) {
  const float largest = fmaxf(a.largest, b.largest);
  if (largest == -INFINITY) return {largest, 0.0f};
  return {largest, a.sum * expf(a.largest - largest) + b.sum * expf(b.largest - largest)};
}

__device__ Running joined_in_warp(Running mine) {
  for (int lane = 16; lane > 0; lane /= 2)
    mine = joined(mine, {__shfl_xor_sync(~0u, mine.largest, lane), __shfl_xor_sync(~0u, mine.sum, lane)});
  return mine;
}

__global__ void __launch_bounds__(kThreads) softmax_rows_kernel(CalotypeSoftmaxRowsArgs args) {
  __shared__ Running ofWarps[kWarps];
  float *row = args.x + int64_t(blockIdx.x) * args.pitch;
  Running mine = {-INFINITY, 0.0f};
  for (int i = threadIdx.x; i < args.columns; i += kThreads) mine = joined(mine, {row[i] * args.scale, 1.0f});
  mine = joined_in_warp(mine);
  if (threadIdx.x % 32 == 0) ofWarps[threadIdx.x / 32] = mine;
  __syncthreads();
  const Running all = joined_in_warp(threadIdx.x % 32 < kWarps ? ofWarps[threadIdx.x % 32] : Running{-INFINITY, 0.0f});
  const float share = 1.0f / all.sum;
  for (int i = threadIdx.x; i < args.columns; i += kThreads) row[i] = expf(row[i] * args.scale - all.largest) * share;
}

}  // namespace

int calotype_softmax_rows(const CalotypeSoftmaxRowsArgs *args, cudaStream_t stream) {
  if (args->rows < 1 || args->columns < 1 || args->pitch < args->columns) return CALOTYPE_INVALID;
  softmax_rows_kernel<<<args->rows, kThreads, 0, stream>>>(*args);
  return cudaGetLastError();
}
