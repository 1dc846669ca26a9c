/**
 * @file Attention in one pass over the keys: four warps, 64 queries a block, mma.sync. For cards without wgmma, and with a
 * bias for all.
 */
#include "attention_biased.h"
#include "attention_sm80.h"
#include "launch.h"
#include "lib/element.cuh"
#include "mma.cuh"
#include "ptx.cuh"
#include "softmax.cuh"

namespace calotype {
namespace {

constexpr int kRows = 64;  // queries a block, and keys a tile
constexpr int kThreads = 128;
constexpr int kWidest = 160;

/** What a bias of minus infinity counts as, so that a tile of nothing else has a maximum. */
constexpr float kLeastBias = -65504.0f;

struct SmallAttention {
  /** The bias may be null. */
  CalotypeBiasedAttentionArgs args;
  int tiles;
  float scale;
};

/** Copies up to 64 tokens of a head into rows of Width + 8 elements, which puts eight rows in different banks. */
template <int Width, class E>
__device__ __forceinline__ void copy_rows(uint32_t to, const E *from, int stride, int tokens, int headDim) {
  for (int i = threadIdx.x; i < kRows * (Width / 8); i += kThreads) {
    const int row = i / (Width / 8), column = i % (Width / 8) * 8;
    const bool isInside = row < tokens && column < headDim;
    copy_async(to + (row * (Width + 8) + column) * 2, isInside ? from + int64_t(row) * stride + column : from, isInside);
  }
}

/** Adds the bias of a warp's scores, of which mask_scores says where they are, divided by what softmax_step multiplies by. */
template <class E>
__device__ __forceinline__ void add_bias(float (&score)[kRows / 2], const CalotypeBiasedAttentionArgs &a, int image,
                                         int head, int row, int key) {
  const E *bias = static_cast<const E *>(a.bias) + image * a.biasBatch + head * a.biasHead;
  const float perScale = 1.0f / a.attention.scale;
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < kRows / 2; i++) {
    const int column = key + i / 4 * 8 + lane % 4 * 2 + i % 2, query = row + lane / 4 + (i & 2) * 4;
    if (column < a.attention.keys && query < a.attention.queries)
      score[i] += fmaxf(to_float(bias[int64_t(column) * a.biasKey + int64_t(query) * a.biasQuery]), kLeastBias) * perScale;
  }
}

template <class E, int Width>
__global__ void __launch_bounds__(kThreads) small_attention_kernel(const __grid_constant__ SmallAttention p) {
  extern __shared__ __align__(128) char shared[];
  constexpr int Pitch = (Width + 8) * 2, Bytes = kRows * Pitch, Stages = Width <= 128 ? 2 : 1;
  const CalotypeAttentionArgs &a = p.args.attention;
  const int lane = threadIdx.x % 32, warpRow = threadIdx.x / 32 * 16;
  const int pair = blockIdx.x / p.tiles, query = (blockIdx.x - pair * p.tiles) * kRows;
  const int image = pair / a.heads, head = pair - image * a.heads;
  const auto source = [&](const void *base, int stride, int tokens) {
    return static_cast<const E *>(base) + int64_t(image) * tokens * stride + head * a.headDim;
  };
  const E *keysFrom = source(a.k, a.kStride, a.keys), *valuesFrom = source(a.v, a.vStride, a.keys);
  const uint32_t queries = shared_address(shared), ring = queries + Bytes;
  const int keyTiles = ceil_div(a.causal ? min(a.keys, query + kRows) : a.keys, kRows);
  wait_for_previous_kernel();
  allow_next_kernel();

  const auto load = [&](int tile) {
    const int key = tile * kRows;
    const uint32_t keys = ring + tile % Stages * 2 * Bytes;
    copy_rows<Width>(keys, keysFrom + int64_t(key) * a.kStride, a.kStride, a.keys - key, a.headDim);
    copy_rows<Width>(keys + Bytes, valuesFrom + int64_t(key) * a.vStride, a.vStride, a.keys - key, a.headDim);
  };
  copy_rows<Width>(queries, source(a.q, a.qStride, a.queries) + int64_t(query) * a.qStride, a.qStride,
                   a.queries - query, a.headDim);
  load(0);
  copies_commit();

  float out[Width / 2] = {}, factor[2];
  SoftmaxRows rows = {{-INFINITY, -INFINITY}, {0.0f, 0.0f}};
  for (int tile = 0; tile < keyTiles; tile++) {
    const uint32_t keys = ring + tile % Stages * 2 * Bytes, values = keys + Bytes;
    copies_wait<0>();
    __syncthreads();
    if (Stages > 1 && tile + 1 < keyTiles) load(tile + 1);
    copies_commit();
    float score[kRows / 2] = {};
#pragma unroll
    for (int k = 0; k < Width / 16; k++) {
      uint32_t x[4], y[4];
      load_blocks(x, queries + (warpRow + lane % 16) * Pitch + (k * 2 + lane / 16) * 16);
#pragma unroll
      for (int i = 0; i < kRows / 16; i++) {
        load_blocks(y, keys + (i * 16 + lane % 8 + lane / 16 * 8) * Pitch + (k * 2 + lane / 8 % 2) * 16);
        multiply_16x8<E>(score + 8 * i, x, y);
        multiply_16x8<E>(score + 8 * i + 4, x, y + 2);
      }
    }
    if (p.args.bias) add_bias<E>(score, p.args, image, head, query + warpRow, tile * kRows);
    mask_scores<kRows>(score, a.keys, a.causal, query + warpRow, tile * kRows);
    softmax_step<kRows>(score, rows, p.scale, factor);
#pragma unroll
    for (int i = 0; i < Width / 2; i++) out[i] *= factor[i / 2 % 2];
    uint32_t weight[kRows / 4];
    to_operand<E, kRows>(score, weight);
#pragma unroll
    for (int k = 0; k < kRows / 16; k++)
#pragma unroll
      for (int i = 0; i < Width / 16; i++) {
        uint32_t y[4];
        load_blocks_transposed(y, values + (k * 16 + lane % 16) * Pitch + (i * 2 + lane / 16) * 16);
        multiply_16x8<E>(out + 8 * i, weight + 4 * k, y);
        multiply_16x8<E>(out + 8 * i + 4, weight + 4 * k, y + 2);
      }
    __syncthreads();
    if (Stages == 1 && tile + 1 < keyTiles) {
      load(tile + 1);
      copies_commit();
    }
  }
  const float scale[2] = {1.0f / quad_sum(rows.sum[0]), 1.0f / quad_sum(rows.sum[1])};
#pragma unroll
  for (int i = 0; i < Width / 2; i += 2) {
    const int row = query + warpRow + lane / 4 + (i & 2) * 4, column = i / 4 * 8 + lane % 4 * 2;
    if (row >= a.queries || column >= a.headDim) continue;
    const int64_t at = ((int64_t(image) * a.queries + row) * a.heads + head) * a.headDim + column;
    *reinterpret_cast<uint32_t *>(static_cast<E *>(a.out) + at) =
        pack2<E>(out[i] * scale[i / 2 % 2], out[i + 1] * scale[i / 2 % 2]);
  }
}

template <class E, int Width>
int run_width(const CalotypeBiasedAttentionArgs &args, cudaStream_t stream) {
  constexpr int Stages = Width <= 128 ? 2 : 1;
  const CalotypeAttentionArgs &a = args.attention;
  const SmallAttention p = {args, ceil_div(a.queries, kRows), a.scale * 1.44269504f};
  LaunchShape shape;
  shape.blocks = p.tiles * a.heads * a.batch;
  shape.threads = kThreads;
  shape.sharedBytes = kRows * (Width + 8) * 2 * (1 + 2 * Stages);
  return launch(small_attention_kernel<E, Width>, shape, a.flags, stream, p);
}

template <class E>
int run(const CalotypeBiasedAttentionArgs &a, cudaStream_t stream) {
  const int width = a.attention.headDim;
  if (width <= 48) return run_width<E, 48>(a, stream);
  if (width <= 64) return run_width<E, 64>(a, stream);
  if (width <= 80) return run_width<E, 80>(a, stream);
  if (width <= 96) return run_width<E, 96>(a, stream);
  if (width <= 128) return run_width<E, 128>(a, stream);
  if (width <= kWidest) return run_width<E, kWidest>(a, stream);
  return CALOTYPE_UNSUPPORTED;
}

int run_typed(const CalotypeBiasedAttentionArgs &a, cudaStream_t stream) {
  return by_narrow_type(a.attention.element, [&](auto zero) { return run<decltype(zero)>(a, stream); });
}

}  // namespace

int attention_sm80(const CalotypeAttentionArgs &a, cudaStream_t stream) {
  return run_typed({a, nullptr, 0, 0, 0, 0}, stream);
}

}  // namespace calotype

extern "C" int calotype_attention_biased(const CalotypeBiasedAttentionArgs *args, cudaStream_t stream) {
  const CalotypeAttentionArgs &a = args->attention;
  if (!args->bias || a.batch < 1 || a.heads < 1 || a.headDim < 1 || a.queries < 1 || a.keys < 1) return CALOTYPE_INVALID;
  if (a.headDim % 8 || a.qStride % 8 || a.kStride % 8 || a.vStride % 8) return CALOTYPE_UNSUPPORTED;
  return calotype::run_typed(*args, stream);
}
