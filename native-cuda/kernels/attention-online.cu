// Attention with an online softmax (Milakov and Gimelshein 2018) on CUDA cores: a warp has four queries, a lane one key of a
// block of 32 for the scores and every 32nd channel for the sums.
#include "attention-online.h"

#include "lib/element.cuh"
#include "lib/reduce.cuh"

namespace {

constexpr int WARPS = 4;
constexpr int WARP_QUERIES = 4;
constexpr int QUERIES = WARPS * WARP_QUERIES;
constexpr int KEYS = 32;
constexpr float LOG2_E = 1.4426950408889634f;

__device__ float warp_max(float value) {
  for (int lane = 16; lane > 0; lane /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, lane));
  return value;
}

template <class T>
__device__ float bias_at(const AttentionOnlineArgs& args, int64_t batch, int head, int query, int key) {
  // Threads of queries past the last one compute what nobody reads.
  const int64_t row = min(query, args.queries - 1);
  return load_float<T>(args.bias, batch * args.bias_batch + static_cast<int64_t>(key) * args.bias_key +
                                      row * args.bias_query + head * args.bias_head);
}

// Rows of one head to shared memory as f32, zeros past the last row.
template <class T>
__device__ void load_rows(float* shared, const void* values, int64_t first, int rows, int valid, int pitch,
                          int head_dim) {
  for (int i = threadIdx.x; i < rows * head_dim; i += blockDim.x) {
    const int row = i / head_dim;
    const int64_t at = first + static_cast<int64_t>(row) * pitch + i % head_dim;
    shared[row * (head_dim + 1) + i % head_dim] = row < valid ? load_float<T>(values, at) : 0.0f;
  }
}

// DIMS: channels of a lane, head_dim / 32 rounded up.
template <class T, int DIMS>
__global__ void __launch_bounds__(32 * WARPS) attention_online_kernel(const __grid_constant__ AttentionOnlineArgs args) {
  extern __shared__ float shared[];
  const int pitch = args.head_dim + 1;
  float* q_rows = shared;
  float* key_rows = shared + QUERIES * pitch;
  const int head = blockIdx.y;
  const int64_t batch = blockIdx.z;
  const int first_query = blockIdx.x * QUERIES;
  const int lane = threadIdx.x % 32;
  const int warp_query = threadIdx.x / 32 * WARP_QUERIES;
  const int64_t head_first = static_cast<int64_t>(head) * args.head_dim;
  const int64_t q_first = (batch * args.queries + first_query) * args.q_pitch + head_first;
  load_rows<T>(q_rows, args.q, q_first, QUERIES, args.queries - first_query, args.q_pitch, args.head_dim);

  float sums[WARP_QUERIES][DIMS] = {};
  float largest[WARP_QUERIES];
  float total[WARP_QUERIES] = {};
  for (int i = 0; i < WARP_QUERIES; i++) largest[i] = -INFINITY;
  const int last_visible = min(args.keys, first_query + QUERIES);
  const int visible_keys = args.causal ? last_visible : args.keys;

  for (int first_key = 0; first_key < visible_keys; first_key += KEYS) {
    const int valid = args.keys - first_key;
    const int64_t row = batch * args.keys + first_key;
    __syncthreads();
    load_rows<T>(key_rows, args.k, row * args.k_pitch + head_first, KEYS, valid, args.k_pitch, args.head_dim);
    __syncthreads();
    float scores[WARP_QUERIES] = {};
    for (int d = 0; d < args.head_dim; d++) {
      const float key = key_rows[lane * pitch + d];
      for (int i = 0; i < WARP_QUERIES; i++)
        scores[i] = fmaf(q_rows[(warp_query + i) * pitch + d], key, scores[i]);
    }
    for (int i = 0; i < WARP_QUERIES; i++) {
      const int query = first_query + warp_query + i;
      const bool visible = lane < valid && (!args.causal || first_key + lane <= query);
      const float bias = visible && args.bias ? bias_at<T>(args, batch, head, query, first_key + lane) : 0.0f;
      const float score = visible ? fmaf(scores[i], args.scale * LOG2_E, bias * LOG2_E) : -INFINITY;
      const float before = largest[i];
      largest[i] = fmaxf(before, warp_max(score));
      // A warp whose queries see nothing of this block keeps its state.
      const float shrink = largest[i] == -INFINITY ? 1.0f : exp2f(before - largest[i]);
      scores[i] = visible ? exp2f(score - largest[i]) : 0.0f;
      total[i] = fmaf(total[i], shrink, warp_sum(scores[i]));
      for (int d = 0; d < DIMS; d++) sums[i][d] *= shrink;
    }
    __syncthreads();
    load_rows<T>(key_rows, args.v, row * args.v_pitch + head_first, KEYS, valid, args.v_pitch, args.head_dim);
    __syncthreads();
    for (int key = 0; key < KEYS; key++) {
      float weights[WARP_QUERIES];
      for (int i = 0; i < WARP_QUERIES; i++) weights[i] = __shfl_sync(0xffffffffu, scores[i], key);
      for (int d = 0; d < DIMS; d++) {
        const int channel = lane + 32 * d;
        if (channel >= args.head_dim) continue;
        const float value = key_rows[key * pitch + channel];
        for (int i = 0; i < WARP_QUERIES; i++) sums[i][d] = fmaf(weights[i], value, sums[i][d]);
      }
    }
  }

  for (int i = 0; i < WARP_QUERIES; i++) {
    const int query = first_query + warp_query + i;
    if (query >= args.queries) return;
    const int64_t to = ((batch * args.queries + query) * args.heads + head) * args.head_dim;
    for (int d = 0; d < DIMS; d++) {
      const int channel = lane + 32 * d;
      if (channel < args.head_dim) static_cast<T*>(args.y)[to + channel] = from_float<T>(sums[i][d] / total[i]);
    }
  }
}

template <class T, int DIMS>
int launch(const AttentionOnlineArgs& args, cudaStream_t stream) {
  const size_t shared = sizeof(float) * (QUERIES + KEYS) * (args.head_dim + 1);
  const auto kernel = attention_online_kernel<T, DIMS>;
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
  if (error != cudaSuccess) return error;
  const dim3 grid(blocks_for(args.queries, QUERIES), args.heads, args.batch);
  kernel<<<grid, 32 * WARPS, shared, stream>>>(args);
  return cudaGetLastError();
}

template <class T>
int launch_of(const AttentionOnlineArgs& args, cudaStream_t stream) {
  if (args.head_dim <= 64) return launch<T, 2>(args, stream);
  if (args.head_dim <= 160) return launch<T, 5>(args, stream);
  if (args.head_dim <= 512) return launch<T, 16>(args, stream);
  return cudaErrorInvalidValue;
}

}  // namespace

int calotype_attention_online(const AttentionOnlineArgs* args, cudaStream_t stream) {
  int status = 0;
  by_type(args->element, [&](auto zero) { status = launch_of<decltype(zero)>(*args, stream); });
  return status;
}
