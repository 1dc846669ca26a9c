/**
 * @file Attention in one pass over the keys (Dao et al. 2022; Shah et al. 2024), on wgmma and the copy engine.
 *
 * A block takes 64 queries a warp group of one head; a producer warp keeps a ring of key and value tiles filled. Each
 * group multiplies the next tile of keys while it sums the values of the last, and the softmax of one group runs
 * beside the products of the others. A row's maximum and sum are kept as in online softmax (Milakov and Gimelshein
 * 2018), in powers of two. Heads that are not multiples of 64 wide are padded by the copy engine with zeros in shared
 * memory only: products of queries and keys take the next 16, those with values exactly the head's width.
 *
 * Ladder (H100, two images; self-attention of SD 1.5 at 64x64, 8 heads of 40, and SDXL's at 64x64, 10 heads of 64, us;
 * torch 157 and 186):
 * - two groups of 64 queries, 128 keys a tile: 170 and 241; three groups: 192 and 295, for want of registers.
 * - barriers of block scope, groups taking turns at the matrix units: 171 and 206.
 * - the wait for the products held back behind the softmax, as written: 175 and 230. The assembler moves it ahead, and
 *   with turns that is faster; left to it.
 * - 64 queries a block, 80 keys a tile, three blocks a multiprocessor: 330 and 242, but the fastest for 77 keys, for few
 *   queries, and where large blocks leave a round half empty (SDXL's 32x32: 34 to 36).
 * - tiles copied once for two blocks: heads of 40, whose rows lie across sectors, 151 from 165, and 14 from 18 for 77 keys;
 *   those of 64 no faster, nor with four stages, nor with small blocks.
 */
#pragma once
#include "attention.h"
#include "launch.h"
#include "math.cuh"
#include "ptx.cuh"
#include "softmax.cuh"
#include "wgmma.cuh"

namespace calotype {

template <int Width_, int Groups_, int Keys_, int Stages_, int Resident_, int Sharing_, int Cluster_>
struct AttentionTile {
  static constexpr int Width = Width_, Groups = Groups_, Keys = Keys_, Stages = Stages_, Resident = Resident_;
  /** Groups that take the same queries and a part of the columns each, for heads too wide for one's registers. */
  static constexpr int Sharing = Sharing_;
  /** Blocks with queries of the same head that copy a part of each tile of keys and values, for all of them. */
  static constexpr int Cluster = Cluster_;
  static constexpr int Columns = Width / Sharing;
  static constexpr int Queries = Groups / Sharing * 64;
  static constexpr int Chunks = ceil_div(Width, 64);
  static constexpr int QueryBytes = Chunks * Queries * 128, TileBytes = Chunks * Keys * 128;
  static constexpr int SharedBytes = 1024 + QueryBytes + 2 * Stages * TileBytes;
  /** Whole warp groups, so that the producers can hand registers to the consumers. */
  static constexpr bool Wide = Groups > 1;
  static_assert(Groups <= 2, "registers are handed out for two groups");
  static_assert(Keys / Cluster % 8 == 0, "shared copies are whole atoms");
  static constexpr int Threads = Groups * 128 + (Wide ? 128 : 32);
  /** Two groups take turns at the matrix units, so that one's softmax runs beside the other's products. */
  static constexpr bool TakesTurns = Groups == 2 && Sharing == 1;
};

struct AttentionParameters {
  CUtensorMap q, k, v;
  void *out;
  int heads, width, queries, keys, causal, tiles;
  /** The op's scale times log2(e). */
  float scale;
};

/** The block's head, image, first query and number of key tiles. */
struct AttentionPlace {
  int head, image, query, keyTiles;
};

template <class T>
__device__ __forceinline__ AttentionPlace attention_place(const AttentionParameters &p) {
  const int pair = blockIdx.x / p.tiles, tile = blockIdx.x - pair * p.tiles, image = pair / p.heads;
  const int query = tile * T::Queries;
  // Blocks of a cluster go through the same tiles: those that its last one sees.
  const int end = (tile / T::Cluster + 1) * T::Cluster * T::Queries, seen = p.causal ? min(p.keys, end) : p.keys;
  return {pair - image * p.heads, image, query, ceil_div(seen, T::Keys)};
}

/** Barriers in shared memory, as addresses. */
template <int Stages>
struct AttentionBarriers {
  uint32_t base;
  __device__ uint32_t queries() const { return base; }
  __device__ uint32_t keysFull(int stage) const { return base + 8 + stage * 32; }
  __device__ uint32_t keysEmpty(int stage) const { return base + 16 + stage * 32; }
  __device__ uint32_t valuesFull(int stage) const { return base + 24 + stage * 32; }
  __device__ uint32_t valuesEmpty(int stage) const { return base + 32 + stage * 32; }
};

template <class T>
__device__ __forceinline__ void copy_heads(uint32_t to, const CUtensorMap *map, uint32_t barrier, int rows, int token,
                                           const AttentionPlace &place) {
#pragma unroll
  for (int chunk = 0; chunk < T::Chunks; chunk++)
    copy_4d(to + chunk * rows * 128, map, barrier, chunk * 64, place.head, token, place.image);
}

/** A tile of keys or values; of a cluster's blocks each copies its part, into all of them. */
template <class T>
__device__ __forceinline__ void copy_tile(uint32_t to, const CUtensorMap *map, uint32_t barrier, int token,
                                          const AttentionPlace &place, uint32_t rank) {
  barrier_expect(barrier, T::TileBytes);
  if constexpr (T::Cluster == 1) return copy_heads<T>(to, map, barrier, T::Keys, token, place);
  const int first = rank * (T::Keys / T::Cluster);
#pragma unroll
  for (int chunk = 0; chunk < T::Chunks; chunk++)
    copy_4d(to + (chunk * T::Keys + first) * 128, map, barrier, chunk * 64, place.head, token + first, place.image,
            (1 << T::Cluster) - 1);
}

/** Tells all that copy into this block that one of its groups is done with a tile. */
template <class T>
__device__ __forceinline__ void release_tile(uint32_t empty) {
  const uint32_t thread = threadIdx.x % 128;
  if constexpr (T::Cluster == 1) {
    if (thread == 0) barrier_arrive(empty);
  } else if (thread < T::Cluster) {
    barrier_arrive_at(empty, thread);
  }
}

template <class T>
__device__ void produce_attention(const AttentionParameters &p, const AttentionPlace &place, uint32_t queries,
                                  uint32_t ring, AttentionBarriers<T::Stages> barriers, uint32_t rank) {
  barrier_expect(barriers.queries(), T::QueryBytes);
  copy_heads<T>(queries, &p.q, barriers.queries(), T::Queries, place.query, place);
  for (int tile = 0; tile < place.keyTiles; tile++) {
    const int stage = tile % T::Stages, token = tile * T::Keys;
    const uint32_t parity = tile / T::Stages % 2 ^ 1, keys = ring + stage * 2 * T::TileBytes;
    barrier_wait(barriers.keysEmpty(stage), parity);
    copy_tile<T>(keys, &p.k, barriers.keysFull(stage), token, place, rank);
    barrier_wait(barriers.valuesEmpty(stage), parity);
    copy_tile<T>(keys + T::TileBytes, &p.v, barriers.valuesFull(stage), token, place, rank);
  }
}

template <class T, class E>
__device__ __forceinline__ void multiply_keys(float (&score)[T::Keys / 2], uint32_t queries, uint32_t keys) {
#pragma unroll
  for (int k = 0; k < ceil_div(T::Width, 16); k++) {
    const int chunk = k / 4, inside = k % 4 * 32;
    Product<E, T::Keys>::multiply_scaled(score, operand(queries + chunk * T::Queries * 128 + inside),
                                         operand(keys + chunk * T::Keys * 128 + inside), k > 0);
  }
}

template <class T, class E>
__device__ __forceinline__ void multiply_values(float (&out)[T::Columns / 2], uint32_t (&weight)[T::Keys / 4],
                                                uint32_t values) {
#pragma unroll
  for (int k = 0; k < T::Keys / 16; k++)
    Product<E, T::Columns>::multiply_registers(out, weight + 4 * k, operand(values + k * 16 * 128, 1024, T::Keys * 128));
}

/** Divides by the rows' sums and stores, through the shared memory that this warp's queries lay in. */
template <class T, class E>
__device__ __forceinline__ void store_attention(const AttentionParameters &p, const AttentionPlace &place,
                                                const float (&out)[T::Columns / 2], const SoftmaxRows &rows,
                                                char *queryBytes) {
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 16 % T::Queries;
  const int firstColumn = threadIdx.x / 128 % T::Sharing * T::Columns;
  queryBytes += firstColumn / 64 * T::Queries * 128;
  const float scale[2] = {1.0f / quad_sum(rows.sum[0]), 1.0f / quad_sum(rows.sum[1])};
#pragma unroll
  for (int i = 0; i < T::Columns / 8; i++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = lane / 4 + half * 8;
      char *at = queryBytes + (i / 8) * T::Queries * 128 + (first + row) * 128 + ((i % 8) ^ (row % 8)) * 16;
      *reinterpret_cast<uint32_t *>(at + lane % 4 * 4) =
          pack2<E>(out[4 * i + 2 * half] * scale[half], out[4 * i + 2 * half + 1] * scale[half]);
    }
  __syncwarp();
  constexpr int Units = T::Columns / 8;
  for (int unit = lane; unit < 16 * Units; unit += 32) {
    const int row = unit / Units, i = unit - row * Units, query = place.query + first + row;
    if (query >= p.queries || firstColumn + i * 8 >= p.width) continue;
    const char *at = queryBytes + (i / 8) * T::Queries * 128 + (first + row) * 128 + ((i % 8) ^ (row % 8)) * 16;
    const size_t token = size_t(place.image) * p.queries + query;
    *reinterpret_cast<uint4 *>(static_cast<E *>(p.out) + (token * p.heads + place.head) * p.width + firstColumn + i * 8) =
        *reinterpret_cast<const uint4 *>(at);
  }
}

template <class T, class E>
__device__ __forceinline__ void consume_attention(const AttentionParameters &p, const AttentionPlace &place,
                                                  char *queryBytes, uint32_t ring,
                                                  AttentionBarriers<T::Stages> barriers) {
  // With Sharing, groups 0 and 1 take the same rows; else each has its own 64.
  const int firstRow = place.query + threadIdx.x / 32 * 16 % T::Queries;
  const uint32_t queries = shared_address(queryBytes) + threadIdx.x / 128 * 64 % T::Queries * 128;
  const uint32_t values = ring + T::TileBytes + threadIdx.x / 128 % T::Sharing * (T::Columns / 64) * T::Keys * 128;
  float out[T::Columns / 2], score[T::Keys / 2], factor[2];
  uint32_t weight[T::Keys / 4];
  SoftmaxRows rows = {{-INFINITY, -INFINITY}, {0.0f, 0.0f}};
#pragma unroll
  for (int i = 0; i < T::Columns / 2; i++) out[i] = 0.0f;

  const int group = threadIdx.x / 128;
  const auto end_turn = [&](int tile) {
    // The first group's turns are one behind the second's, which it does not wait for in the end.
    if (T::TakesTurns && (group == 0 || tile + 1 < place.keyTiles)) named_barrier_arrive(2 - group, 256);
  };
  if (group == 1) end_turn(-1);
  barrier_wait(barriers.queries(), 0);
  for (int tile = 0; tile < place.keyTiles; tile++) {
    const int stage = tile % T::Stages, last = (tile + T::Stages - 1) % T::Stages;
    const uint32_t keys = ring + stage * 2 * T::TileBytes;
    barrier_wait(barriers.keysFull(stage), tile / T::Stages % 2);
    if (T::TakesTurns) named_barrier(1 + group, 256);
    pin(score);
    products_begin();
    multiply_keys<T, E>(score, queries, keys);
    products_commit();
    if (tile > 0) {
      barrier_wait(barriers.valuesFull(last), (tile - 1) / T::Stages % 2);
      pin(out);
      products_begin();
      multiply_values<T, E>(out, weight, values + last * 2 * T::TileBytes);
      products_commit();
      end_turn(tile);
      products_wait<1>();
    } else {
      end_turn(tile);
      products_wait<0>();
    }
    pin(score);
    release_tile<T>(barriers.keysEmpty(stage));
    const int key = tile * T::Keys;
    if (key + T::Keys > p.keys || (p.causal && key + T::Keys > firstRow)) 
      mask_scores<T::Keys>(score, p.keys, p.causal, firstRow, key);
    softmax_step<T::Keys>(score, rows, p.scale, factor);
    products_wait<0>();
    pin(out);
    if (tile > 0) release_tile<T>(barriers.valuesEmpty(last));
#pragma unroll
    for (int i = 0; i < T::Columns / 2; i++) out[i] *= factor[i / 2 % 2];
    to_operand<E, T::Keys>(score, weight);
  }
  const int stage = (place.keyTiles - 1) % T::Stages;
  barrier_wait(barriers.valuesFull(stage), (place.keyTiles - 1) / T::Stages % 2);
  pin(out);
  products_begin();
  multiply_values<T, E>(out, weight, values + stage * 2 * T::TileBytes);
  products_commit();
  products_wait<0>();
  pin(out);
  // The result takes the place of queries that another group may still be reading.
  if constexpr (T::Sharing > 1) named_barrier(1, T::Groups * 128);
  store_attention<T, E>(p, place, out, rows, queryBytes);
}

/** E is the type of all elements. */
template <class T, class E>
__global__ void __launch_bounds__(T::Threads, T::Resident)
    attention_kernel(const __grid_constant__ AttentionParameters p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ char sharedBytes[];
  __shared__ uint64_t barrierWords[1 + 4 * T::Stages];
  char *queryBytes = sharedBytes + (1024 - shared_address(sharedBytes) % 1024) % 1024;
  const uint32_t queries = shared_address(queryBytes), ring = queries + T::QueryBytes;
  const AttentionBarriers<T::Stages> barriers = {shared_address(barrierWords)};
  constexpr int ProducerThread = T::Groups * 128;
  const AttentionPlace place = attention_place<T>(p);
  const uint32_t rank = T::Cluster > 1 ? cluster_rank() : 0;

  if (threadIdx.x == ProducerThread) {
    prefetch_map(&p.q);
    prefetch_map(&p.k);
    prefetch_map(&p.v);
    barrier_init(barriers.queries(), 1);
    for (int stage = 0; stage < T::Stages; stage++) {
      barrier_init(barriers.keysFull(stage), 1);
      barrier_init(barriers.valuesFull(stage), 1);
      barrier_init(barriers.keysEmpty(stage), T::Groups * T::Cluster);
      barrier_init(barriers.valuesEmpty(stage), T::Groups * T::Cluster);
    }
    barrier_init_fence();
  }
  if constexpr (T::Cluster > 1) {
    __syncwarp();
    cluster_arrive_relaxed();
    cluster_wait();
  }
  __syncthreads();
  wait_for_previous_kernel();
  allow_next_kernel();

  if (threadIdx.x >= ProducerThread) {
    if constexpr (T::Wide) asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x == ProducerThread) produce_attention<T>(p, place, queries, ring, barriers, rank);
  } else {
    if constexpr (T::Wide) asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    consume_attention<T, E>(p, place, queryBytes, ring, barriers);
  }
  // No block may end while another may still tell it that a tile is free.
  if constexpr (T::Cluster > 1) {
    __syncwarp();
    cluster_arrive_relaxed();
    cluster_wait();
  }
#endif
}

template <class T, class E>
int launch_attention(const CalotypeAttentionArgs &a, cudaStream_t stream) {
  AttentionParameters p;
  const auto encode = [&](CUtensorMap *map, const void *base, int tokenStride, int tokens, int boxTokens) {
    const uint64_t size[] = {uint64_t(a.headDim), uint64_t(a.heads), uint64_t(tokens), uint64_t(a.batch)};
    const uint64_t token = tokenStride * sizeof(E), stride[] = {a.headDim * sizeof(E), token, token * tokens};
    const uint32_t box[] = {64, 1, uint32_t(boxTokens), 1};
    return encode_tiled<E>(map, base, 4, size, stride, box);
  };
  if (!encode(&p.q, a.q, a.qStride, a.queries, T::Queries) ||
      !encode(&p.k, a.k, a.kStride, a.keys, T::Keys / T::Cluster) ||
      !encode(&p.v, a.v, a.vStride, a.keys, T::Keys / T::Cluster))
    return CALOTYPE_UNSUPPORTED;
  p.out = a.out;
  p.heads = a.heads;
  p.width = a.headDim;
  p.queries = a.queries;
  p.keys = a.keys;
  p.causal = a.causal;
  p.tiles = ceil_div(ceil_div(a.queries, T::Queries), T::Cluster) * T::Cluster;
  p.scale = a.scale * 1.44269504f;
  LaunchShape shape;
  shape.blocks = p.tiles * a.heads * a.batch;
  shape.threads = T::Threads;
  shape.sharedBytes = T::SharedBytes;
  shape.cluster = T::Cluster;
  return launch(attention_kernel<T, E>, shape, a.flags, stream, p);
}

}  // namespace calotype
