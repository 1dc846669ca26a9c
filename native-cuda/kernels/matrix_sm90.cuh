/**
 * @file Matrix product and implicit-GEMM convolution on wgmma, fed by the copy engine.
 *
 * A block is one producer warp and `Groups` warp groups of consumers. The producer keeps a ring of `Stages` pairs of
 * tiles [BM, 128 bytes] and [BN, 128 bytes] filled: rows of the left operand come from a matrix or, for convolutions, through
 * the engine's im2col mode, which finds the pixels under a tap and zeroes what lies outside. Consumers multiply and
 * finish their sums in registers (finish.cuh), or a chunk at a time through shared memory (epilogue.cuh).
 * Blocks of a cluster share loads: ClusterN blocks side by side the left operand, ClusterM blocks below each other the
 * right one. Where tiles are too few for the card, several blocks sum a part of the depth each: with Split > 1 those of a
 * cluster, which then reduce a part of the rows each out of the others' shared memory (finish_split); or any number of
 * blocks, which leave their sums in memory for the last of them (join_parts), 5 us dearer and worth it where depth is great.
 *
 * Ladder (H100; sums over the matrix products, convolutions, attentions and norms of a step, SD 1.5 / SDXL, ms):
 * - first version, best tile of 24: 7.5 / 34.9 (torch's own kernels, without activations: 6.5 / 29.4). The epilogue
 *   was unrolled over all sums, ten thousand instructions that did not stay in the instruction cache, and waits of
 *   cluster scope emptied the first-level cache each time; shared loads were three times slower than none.
 * - epilogue in a loop that moves the sums down, its inputs asked for a chunk ahead, barriers of block scope, overlap
 *   with the kernel ahead: 6.1 / 28.5.
 * - two blocks a multiprocessor for clusters of four and eight, of which one each left a second wave; weights asked for
 *   before the kernel ahead has ended; one block's tiles taken in turns by two warp groups: 5.9 / 28.7 (attention was
 *   slower in that run). Turns won by 4 % at most: what bounds these tiles is shared memory, read by the products and
 *   written by the copies, so that [256, 160] and [128, 256] do 700 TFLOP/s where [128, 160] does 600.
 * - sums finished in the registers they are in: for [2048, 3840, 1280] 42.9 us became 34.9, of which 28.4 are products.
 */
#pragma once
#include "epilogue.cuh"
#include "finish.cuh"
#include "launch.h"
#include "matrix.h"
#include "ptx.cuh"
#include "wgmma.cuh"

namespace calotype {

/** Channels a stage: one swizzled row. */
template <class F>
constexpr int kDepth = kRowBytes / sizeof(typename F::Input);

template <int BM_, int BN_, int Groups_, int Stages_, int ClusterM_, int ClusterN_, int Split_, int Resident_,
          int TakesTurns_ = 0>
struct Tile {
  static constexpr int BM = BM_, BN = BN_, Groups = Groups_, Stages = Stages_;
  static constexpr int ClusterM = ClusterM_, ClusterN = ClusterN_, Split = Split_;
  /** Blocks meant to share a multiprocessor; then the epilogue reuses the ring, and a block does one tile. */
  static constexpr int Resident = Resident_;
  /** The groups take tiles in turn, each a whole one: one finishes its tile while the next one multiplies. */
  static constexpr bool TakesTurns = TakesTurns_;
  static constexpr int Cluster = ClusterM * ClusterN * Split;
  static constexpr int GroupsOfTile = TakesTurns ? 1 : Groups;
  static constexpr int Slabs = BM / (64 * GroupsOfTile);
  /** Sums beyond a thread's even share of registers: the producers, then a whole warp group, hand some over. */
  static constexpr bool Wide = Slabs * BN / 2 >= 128;
  static constexpr int Threads = Groups * 128 + (Wide ? 128 : 32);
  static constexpr int ProducerRegisters = 40, ConsumerRegisters = Resident > 1 ? 208 : 232;
  static_assert(!Wide || (Groups * ConsumerRegisters + ProducerRegisters) * 128 * Resident <= 65536, "registers");
  static constexpr int StageBytes = (BM + BN) * kRowBytes;
  static constexpr bool OneTile = Split > 1 || Resident > 1;
  static_assert(!TakesTurns || (!OneTile && Groups == 2), "no turns to take");
  /** Columns of a chunk of the epilogue, and whether registers allow asking for the next one's inputs early. */
  static constexpr int Columns = BN % kChunk ? 16 : kChunk;
  static constexpr bool Ahead = Resident == 1;
  /** Groups of 32 columns whose inputs a warp asks for before its sums are done, as registers allow. */
  static constexpr int Held = Resident > 1 || Slabs * BN / 2 > 160 ? 1 : Slabs * BN / 2 > 128 ? 2 : Slabs * BN / 2 > 96 ? 3 : 5;
  static constexpr int PartialPitch = BN + 8;
  static constexpr int ChunkBytes = Groups * 4 * 16 * kChunkPitch * 4;
  static constexpr int SharedBytes = 1024 + Stages * StageBytes + (OneTile ? 0 : ChunkBytes);
  static_assert(Split == 1 || BM * PartialPitch * 4 <= Stages * StageBytes, "partial sums do not fit the ring");
  static_assert(ChunkBytes <= Stages * StageBytes, "the ring is too small for the epilogue");
  static_assert(BN % Columns == 0 && Slabs * 64 * GroupsOfTile == BM && BM % Split == 0, "rows do not divide");
  static_assert(BM / ClusterN % 8 == 0 && BN / ClusterM % 8 == 0, "shared loads are whole atoms");
};

template <class F>
struct MatrixParameters {
  CUtensorMap x, x2, weight;
  Epilogue<typename F::Value> epilogue;
  int tilesM, tilesN, tiles;
  int chunks, chunks2, channels, channels2, taps, kernelWidth;
  bool isConvolution;
  int outWidth, stride, padTop, padLeft;
  /** Blocks that share a tile's depth, where they leave their sums, and how many of them did; zeros between launches. */
  int parts;
  float4 *partials;
  unsigned *counters;
};

/** Where a block's tile lies. Tiles count down the rows first, so that blocks at work share weights. */
struct TilePlace {
  int m, n, phase;
};

template <class T, class F>
__device__ __forceinline__ TilePlace tile_place(const MatrixParameters<F> &p, int tile, uint32_t rank) {
  const int rowsOfClusters = p.tilesM / T::ClusterM, columnsOfClusters = p.tilesN / T::ClusterN;
  const int column = tile / rowsOfClusters, row = tile - column * rowsOfClusters;
  const int phase = column / columnsOfClusters;
  const int inM = rank / T::Split % T::ClusterM, inN = rank / (T::Split * T::ClusterM);
  return {(row * T::ClusterM + inM) * T::BM, ((column - phase * columnsOfClusters) * T::ClusterN + inN) * T::BN, phase};
}

struct Steps {
  int first, last;
};

/** Of a piece of work: a tile's part of the depth, which is the cluster's or, where it is split there, the block's. */
template <class T, class F>
__device__ __forceinline__ Steps steps_of(const MatrixParameters<F> &p, int work, uint32_t rank) {
  const int total = p.taps * (p.chunks + p.chunks2);
  const int parts = T::Split > 1 ? T::Split : p.parts, part = T::Split > 1 ? rank % T::Split : work % p.parts;
  return {total * part / parts, total * (part + 1) / parts};
}

/** A position in the ring; the parity flips each time round. */
template <int Stages>
struct RingPosition {
  int stage = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void advance() {
    if (++stage == Stages) {
      stage = 0;
      parity ^= 1;
    }
  }
  __device__ __forceinline__ void skip(int steps) {
    const int next = stage + steps;
    parity ^= next / Stages % 2;
    stage = next % Stages;
  }
};

/** The tap and the channels of a step, of both sources counted on. */
struct StepPlace {
  int tap, chunk;
  __device__ __forceinline__ void advance(int chunksOfTap) {
    if (++chunk == chunksOfTap) {
      chunk = 0;
      tap++;
    }
  }
};

/** What the producer of one block copies. */
template <class T, class F>
struct Producer {
  static constexpr int RowsX = T::BM / T::ClusterN, RowsWeight = T::BN / T::ClusterM;
  const MatrixParameters<F> &p;
  uint32_t ring, full;
  /** The block's row and column in its cluster, and the blocks that share what it copies. */
  uint32_t inM, inN;
  uint16_t sharesX = 0, sharesWeight = 0;

  __device__ Producer(const MatrixParameters<F> &p, uint32_t ring, uint32_t full, uint32_t rank)
      : p(p), ring(ring), full(full), inM(rank / T::Split % T::ClusterM), inN(rank / (T::Split * T::ClusterM)) {
    const uint32_t part = rank % T::Split;
    for (int i = 0; i < T::ClusterN; i++) sharesX |= 1 << (part + T::Split * (inM + T::ClusterM * i));
    for (int i = 0; i < T::ClusterM; i++) sharesWeight |= 1 << (part + T::Split * (i + T::ClusterM * inN));
  }

  __device__ __forceinline__ int first_row(const TilePlace &place) const { return place.m + inN * RowsX; }

  __device__ __forceinline__ void copy_weight(int stage, const TilePlace &place, const StepPlace &at) const {
    const bool second = at.chunk >= p.chunks;
    const int depth = at.tap * (p.channels + p.channels2) +
                      (second ? p.channels + (at.chunk - p.chunks) * kDepth<F> : at.chunk * kDepth<F>);
    const int n = place.n + inM * RowsWeight + place.phase * p.epilogue.n;
    const uint32_t to = ring + stage * T::StageBytes + (T::BM + inM * RowsWeight) * kRowBytes;
    if (T::ClusterM == 1) copy_2d(to, &p.weight, full + stage * 8, depth, n);
    else copy_2d(to, &p.weight, full + stage * 8, depth, n, sharesWeight);
  }

  /** `from` is the first pixel of the rows. */
  __device__ __forceinline__ void copy_x(int stage, const TilePlace &place, const StepPlace &at, Im2col from) const {
    const bool second = at.chunk >= p.chunks;
    const CUtensorMap *map = second ? &p.x2 : &p.x;
    const uint32_t to = ring + stage * T::StageBytes + inN * RowsX * kRowBytes, barrier = full + stage * 8;
    from.channel = (second ? at.chunk - p.chunks : at.chunk) * kDepth<F>;
    if (p.isConvolution) {
      const int tapY = at.tap / p.kernelWidth;
      from.tapX = at.tap - tapY * p.kernelWidth + (place.phase & 1);
      from.tapY = tapY + (place.phase >> 1);
      if (T::ClusterN == 1) copy_im2col(to, map, barrier, from);
      else copy_im2col(to, map, barrier, from, sharesX);
    } else {
      if (T::ClusterN == 1) copy_2d(to, map, barrier, from.channel, first_row(place));
      else copy_2d(to, map, barrier, from.channel, first_row(place), sharesX);
    }
  }

  __device__ __forceinline__ Im2col first_pixel(const TilePlace &place) const {
    Im2col from = {};
    if (!p.isConvolution) return from;
    const int m = first_row(place);
    from.image = m / p.epilogue.pixels;
    const int pixel = m - from.image * p.epilogue.pixels, y = pixel / p.outWidth;
    from.y = y * p.stride - p.padTop;
    from.x = (pixel - y * p.outWidth) * p.stride - p.padLeft;
    return from;
  }
};

template <class T, class F>
__device__ void produce(const MatrixParameters<F> &p, uint32_t ring, uint32_t full, uint32_t empty, uint32_t rank) {
  const Producer<T, F> producer(p, ring, full, rank);
  const int chunksOfTap = p.chunks + p.chunks2;
  const int stride = gridDim.x / T::Cluster;
  int work = blockIdx.x / T::Cluster;
  const Steps firstSteps = steps_of<T>(p, work, rank);

  // Weights do not depend on the kernel ahead: the ring's first ones are on their way before it has ended.
  const int early = min(T::Stages, firstSteps.last - firstSteps.first);
  StepPlace at = {firstSteps.first / chunksOfTap, firstSteps.first % chunksOfTap};
  for (int stage = 0; stage < early; stage++) {
    barrier_expect(full + stage * 8, T::StageBytes);
    producer.copy_weight(stage, tile_place<T>(p, work / p.parts, rank), at);
    at.advance(chunksOfTap);
  }
  wait_for_previous_kernel();

  RingPosition<T::Stages> position;
  int count = 0;
  for (; work < p.tiles * p.parts; work += stride) {
    const TilePlace place = tile_place<T>(p, work / p.parts, rank);
    const Im2col from = producer.first_pixel(place);
    const Steps steps = steps_of<T>(p, work, rank);
    at = {steps.first / chunksOfTap, steps.first % chunksOfTap};
    for (int step = steps.first; step < steps.last; step++) {
      if (count++ >= early) {
        barrier_wait(empty + position.stage * 8, position.parity ^ 1);
        barrier_expect(full + position.stage * 8, T::StageBytes);
        producer.copy_weight(position.stage, place, at);
      }
      producer.copy_x(position.stage, place, at, from);
      position.advance();
      at.advance(chunksOfTap);
    }
  }
}

/** Tells every block that copies into this one's ring that the stage may be overwritten. */
template <class T>
__device__ __forceinline__ void release(uint32_t empty, uint32_t rank) {
  const uint32_t thread = threadIdx.x % 128;
  if constexpr (T::ClusterM * T::ClusterN == 1) {
    if (thread == 0) barrier_arrive(empty);
  } else if (thread < T::ClusterM + T::ClusterN - 1) {
    const uint32_t part = rank % T::Split, inM = rank / T::Split % T::ClusterM, inN = rank / (T::Split * T::ClusterM);
    // The blocks below each other first, then the others of this row.
    uint32_t toM = thread, toN = inN;
    if (thread >= T::ClusterM) {
      toM = inM;
      toN = thread - T::ClusterM;
      toN += toN >= inN;
    }
    barrier_arrive_at(empty, part + T::Split * (toM + T::ClusterM * toN));
  }
}

/** Leaves the products of the last stage under way, and returns that stage. */
template <class T, class F>
__device__ __forceinline__ int multiply_tile(typename F::Sum (&sum)[T::Slabs][T::BN / 2], int steps, uint32_t ring,
                                             uint32_t full, uint32_t empty, uint32_t rank,
                                             RingPosition<T::Stages> &at) {
  const int group = T::TakesTurns ? 0 : threadIdx.x / 128;
#pragma unroll
  for (int slab = 0; slab < T::Slabs; slab++)
#pragma unroll
    for (int i = 0; i < T::BN / 2; i++) sum[slab][i] = 0;
  int previous = 0;
  for (int step = 0; step < steps; step++) {
    barrier_wait(full + at.stage * 8, at.parity);
    const uint32_t x = ring + at.stage * T::StageBytes + group * T::Slabs * 64 * kRowBytes;
    const uint32_t weight = ring + at.stage * T::StageBytes + T::BM * kRowBytes;
#pragma unroll
    for (int slab = 0; slab < T::Slabs; slab++) pin(sum[slab]);
    products_begin();
#pragma unroll
    for (int k = 0; k < kRowBytes / 32; k++)
#pragma unroll
      for (int slab = 0; slab < T::Slabs; slab++)
        Product<typename F::Input, T::BN>::multiply(sum[slab], operand(x + slab * 64 * kRowBytes + k * 32),
                                                    operand(weight + k * 32));
    products_commit();
    // One group of products stays under way; the stage before it is done with.
    products_wait<1>();
    if (step > 0) release<T>(empty + previous * 8, rank);
    previous = at.stage;
    at.advance();
  }
  return previous;
}

/** The first row of a warp's 16 in a slab. */
template <class T>
__device__ __forceinline__ int warp_row(int slab) {
  const int warp = threadIdx.x / 32, group = T::TakesTurns ? 0 : warp / 4;
  return (group * T::Slabs + slab) * 64 + warp % 4 * 16;
}

/**
 * Finishes a tile in chunks of columns. The loop is not unrolled, which keeps its code in the instruction cache: each
 * round takes the first sums and moves the others down. What a chunk needs of memory is asked for a round ahead,
 * where there are registers for it.
 */
template <class T, class F>
__device__ __forceinline__ void finish_tile(const Epilogue<typename F::Value> &e,
                                            typename F::Sum (&sum)[T::Slabs][T::BN / 2], char *stages,
                                            const TilePlace &place, Early next) {
  constexpr int Columns = T::Columns, Taken = Columns / 2;
  float *stage = reinterpret_cast<float *>(stages) + threadIdx.x / 32 * 16 * kChunkPitch;
#pragma unroll
  for (int slab = 0; slab < T::Slabs; slab++) {
    const int m = place.m + warp_row<T>(slab);
#pragma unroll 1
    for (int n = 0; n < T::BN; n += Columns) {
      const Early early = next;
      if (T::Ahead) {
        const bool isLast = n + Columns == T::BN;
        next = load_early<Columns>(e, isLast ? m + 64 : m, place.n + (isLast ? 0 : n + Columns), place.phase);
      }
      finish_chunk<F, Columns>(e, sum[slab], stage, m, place.n + n, place.phase,
                               T::Ahead ? early : load_early<Columns>(e, m, place.n + n, place.phase));
#pragma unroll
      for (int i = 0; i + Taken < T::BN / 2; i++) sum[slab][i] = sum[slab][i + Taken];
    }
  }
}

/**
 * Adds up the sums that the blocks of a tile made, each of a part of the depth. Each warp leaves its own in memory and
 * goes on, but for the last to get there, which adds all parts up: in their order, whoever is last. `piece` tells the
 * tile's blocks from those of other tiles.
 */
template <class T, class F>
__device__ __forceinline__ bool join_parts(const MatrixParameters<F> &p, float (&sum)[T::Slabs][T::BN / 2], int piece, int part) {
  constexpr int Vectors = T::BN / 8, Warps = T::Groups * 4;
  constexpr size_t WarpVectors = T::Slabs * Vectors * 32, PartVectors = Warps * WarpVectors;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float4 *first = p.partials + size_t(piece) * p.parts * PartVectors + warp * WarpVectors + lane;
#pragma unroll
  for (int slab = 0; slab < T::Slabs; slab++)
#pragma unroll
    for (int i = 0; i < Vectors; i++)
      __stcg(first + part * PartVectors + (slab * Vectors + i) * 32,
             make_float4(sum[slab][4 * i], sum[slab][4 * i + 1], sum[slab][4 * i + 2], sum[slab][4 * i + 3]));
  __threadfence();
  __syncwarp();
  unsigned *counter = p.counters + piece * Warps + warp;
  unsigned before = lane == 0 ? atomicAdd(counter, 1) : 0;
  before = __shfl_sync(~0u, before, 0);
  if (before + 1 != unsigned(p.parts)) return false;
  if (lane == 0) *counter = 0;
  __threadfence();
#pragma unroll
  for (int slab = 0; slab < T::Slabs; slab++)
#pragma unroll
    for (int i = 0; i < T::BN / 2; i++) sum[slab][i] = 0.0f;
#pragma unroll 1
  for (int other = 0; other < p.parts; other++)
#pragma unroll
    for (int slab = 0; slab < T::Slabs; slab++)
#pragma unroll
      for (int i = 0; i < Vectors; i++) {
        const float4 v = __ldcg(first + other * PartVectors + (slab * Vectors + i) * 32);
        sum[slab][4 * i] += v.x, sum[slab][4 * i + 1] += v.y, sum[slab][4 * i + 2] += v.z, sum[slab][4 * i + 3] += v.w;
      }
  return true;
}

/** Adds up the parts that the blocks of a cluster summed; each block finishes its share of the rows. */
template <class T, class F>
__device__ __forceinline__ void finish_split(const Epilogue<typename F::Value> &e, float *partial, const TilePlace &place, uint32_t rank) {
  constexpr int Rows = T::BM / T::Split, Groups = T::BN / 8, Threads = T::Groups * 128;
  const int part = rank % T::Split;
  const uint32_t base = shared_address(partial), first = rank - part;
#pragma unroll 1
  for (int unit = threadIdx.x; unit < Rows * Groups; unit += Threads) {
    const int row = part * Rows + unit / Groups, column = unit % Groups * 8, m = place.m + row, n = place.n + column;
    const uint4 bias = load_bias(e, n), extra = load_extra(e, m, n, place.phase);
    float v[8] = {};
#pragma unroll
    for (int other = 0; other < T::Split; other++) {
      const uint32_t from = base + (row * T::PartialPitch + column) * 4;
      const float4 low = load_from_block(from, first + other), high = load_from_block(from + 16, first + other);
      v[0] += low.x, v[1] += low.y, v[2] += low.z, v[3] += low.w;
      v[4] += high.x, v[5] += high.y, v[6] += high.z, v[7] += high.w;
    }
    finish<F>(e, m, n, place.phase, v, bias, extra);
  }
}

template <class T, class F>
__global__ void __launch_bounds__(T::Threads, T::Resident) matrix_kernel(const __grid_constant__ MatrixParameters<F> p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ char sharedBytes[];
  __shared__ uint64_t barriers[2 * T::Stages];
  char *ringBytes = sharedBytes + (1024 - shared_address(sharedBytes) % 1024) % 1024;
  const uint32_t ring = shared_address(ringBytes), full = shared_address(barriers), empty = full + T::Stages * 8;
  const uint32_t rank = T::Cluster > 1 ? cluster_rank() : 0;
  constexpr int ProducerThread = T::Groups * 128;

  if (threadIdx.x == ProducerThread) {
    prefetch_map(&p.x);
    prefetch_map(&p.weight);
    for (int stage = 0; stage < T::Stages; stage++) {
      barrier_init(full + stage * 8, 1);
      barrier_init(empty + stage * 8, T::GroupsOfTile * (T::ClusterM + T::ClusterN - 1));
    }
    barrier_init_fence();
  }
  if constexpr (T::Cluster > 1) {
    __syncwarp();
    cluster_arrive_relaxed();
    cluster_wait();
  } else {
    __syncthreads();
  }
  allow_next_kernel();

  if (threadIdx.x >= ProducerThread) {
    if constexpr (T::Wide) asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(T::ProducerRegisters));
    if (threadIdx.x == ProducerThread) produce<T, F>(p, ring, full, empty, rank);
  } else {
    if constexpr (T::Wide) asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(T::ConsumerRegisters));
    wait_for_previous_kernel();
    const int turns = T::TakesTurns ? T::Groups : 1, turn = T::TakesTurns ? threadIdx.x / 128 : 0;
    const int stride = gridDim.x / T::Cluster, works = p.tiles * p.parts;
    RingPosition<T::Stages> at;
    // Blocks that take turns have whole tiles, all of as many steps.
    const int whole = steps_of<T>(p, 0, 0).last;
    if (T::TakesTurns) at.skip(turn * whole);
    for (int work = blockIdx.x / T::Cluster + turn * stride; work < works; work += turns * stride) {
      const TilePlace place = tile_place<T>(p, work / p.parts, rank);
      const Steps steps = steps_of<T>(p, work, rank);
      // A barrier's parity tells one phase from the next only: a group may not wait for stages that lie further ahead.
      if (T::TakesTurns && work >= stride) named_barrier(1 + turn, 256);
      typename F::Sum sum[T::Slabs][T::BN / 2];
      const int last = multiply_tile<T, F>(sum, steps.last - steps.first, ring, full, empty, rank, at);
      if (T::TakesTurns && work + stride < works) named_barrier_arrive(2 - turn, 256);
      const auto end_products = [&] {
        products_wait<0>();
#pragma unroll
        for (int slab = 0; slab < T::Slabs; slab++) pin(sum[slab]);
        if (steps.first < steps.last) release<T>(empty + last * 8, rank);
        if (T::TakesTurns) at.skip((turns - 1) * whole);
      };
      const auto is_whole = [&] {
        if constexpr (T::TakesTurns || T::Split > 1 || F::Scaled) return true;
        else return p.parts == 1 || join_parts<T>(p, sum, work / p.parts * T::Cluster + rank, work % p.parts);
      };
      if constexpr (T::Split > 1) {
        end_products();
        // The ring is free for sums once all groups have read its last stage.
        named_barrier(1, T::Groups * 128);
        float *partial = reinterpret_cast<float *>(ringBytes);
#pragma unroll
        for (int slab = 0; slab < T::Slabs; slab++)
          spill_rows<T::BN>(sum[slab], partial + warp_row<T>(slab) * T::PartialPitch, T::PartialPitch);
      } else if (p.epilogue.activation == CALOTYPE_GEGLU) {
        RegisterFinish<F, T::Slabs, 2, T::BN / 16, T::Held> finish(p.epilogue, place.m + warp_row<T>(0), place.n, place.phase);
        end_products();
        if (is_whole()) finish.store(sum);
      } else if (finishes_in_registers(p.epilogue)) {
        RegisterFinish<F, T::Slabs, 1, T::BN / 8, T::Held> finish(p.epilogue, place.m + warp_row<T>(0), place.n, place.phase);
        end_products();
        if (is_whole()) finish.store(sum);
      } else {
        Early early = {};
        if (T::Ahead) early = load_early<T::Columns>(p.epilogue, place.m + warp_row<T>(0), place.n, place.phase);
        end_products();
        if constexpr (T::OneTile) named_barrier(1, T::Groups * 128);
        if (is_whole()) finish_tile<T, F>(p.epilogue, sum, ringBytes + (T::OneTile ? 0 : T::Stages * T::StageBytes), place, early);
      }
    }
  }
  if constexpr (T::Split > 1) {
    __syncwarp();
    cluster_sync();
    if (threadIdx.x < ProducerThread) {
      const TilePlace place = tile_place<T>(p, blockIdx.x / T::Cluster, rank);
      finish_split<T, F>(p.epilogue, reinterpret_cast<float *>(ringBytes), place, rank);
    }
  }
  // No block may end while another may still write to it or read from it.
  if constexpr (T::Cluster > 1) {
    __syncwarp();
    cluster_arrive_relaxed();
    cluster_wait();
  }
#endif
}

template <class T, class F>
int launch_matrix(const MatrixProblem &problem, cudaStream_t stream) {
  using Input = typename F::Input;
  MatrixParameters<F> p;
  p.epilogue = epilogue_of<typename F::Value>(problem);
  p.tilesM = ceil_div(ceil_div(problem.m, T::BM), T::ClusterM) * T::ClusterM;
  p.tilesN = ceil_div(ceil_div(problem.n, T::BN), T::ClusterN) * T::ClusterN;
  p.tiles = p.tilesM * p.tilesN / (T::ClusterM * T::ClusterN) * problem.phases;
  p.channels = problem.channels;
  p.channels2 = problem.channels2;
  p.chunks = ceil_div(problem.channels, kDepth<F>);
  p.chunks2 = ceil_div(problem.channels2, kDepth<F>);
  p.taps = problem.taps();
  p.kernelWidth = problem.kernelWidth;
  p.isConvolution = problem.isConvolution;
  p.outWidth = p.epilogue.width;
  p.stride = problem.stride;
  p.padTop = problem.padTop;
  p.padLeft = problem.padLeft;

  if (problem.activation == CALOTYPE_GEGLU && T::Split > 1) return CALOTYPE_UNSUPPORTED;
  p.parts = problem.parts;
  p.partials = static_cast<float4 *>(problem.partials);
  p.counters = static_cast<unsigned *>(problem.counters);
  if (p.parts > 1) {
    const int64_t pieces = int64_t(p.tiles) * T::Cluster;
    if (T::TakesTurns || T::Split > 1 || F::Scaled) return CALOTYPE_UNSUPPORTED;
    if (pieces * p.parts * T::BM * T::BN * 4 > problem.partialBytes || pieces * T::Groups * 4 > CALOTYPE_COUNTERS)
      return CALOTYPE_INVALID;
  }
  if (!encode_matrix<Input>(&p.weight, problem.weight, uint64_t(problem.n) * problem.phases, problem.depth(),
                     T::BN / T::ClusterM))
    return CALOTYPE_UNSUPPORTED;
  if (problem.isConvolution) {
    Im2colShape shape = {problem.batch,
                         problem.height,
                         problem.width,
                         problem.channels,
                         problem.stride,
                         -problem.padLeft,
                         -problem.padTop,
                         problem.padRight - (problem.kernelWidth - 1),
                         problem.padBottom - (problem.kernelHeight - 1),
                         T::BM / T::ClusterN};
    if (problem.phases > 1) shape.upperX = shape.upperY = -1;
    if (!encode_im2col<Input>(&p.x, problem.x, shape)) return CALOTYPE_UNSUPPORTED;
    shape.channels = problem.channels2;
    if (problem.x2 && !encode_im2col<Input>(&p.x2, problem.x2, shape)) return CALOTYPE_UNSUPPORTED;
  } else {
    if (!encode_matrix<Input>(&p.x, problem.x, problem.m, problem.channels, T::BM / T::ClusterN)) return CALOTYPE_UNSUPPORTED;
    if (problem.x2 && !encode_matrix<Input>(&p.x2, problem.x2, problem.m, problem.channels2, T::BM / T::ClusterN))
      return CALOTYPE_UNSUPPORTED;
  }

  int clusters = p.tiles * p.parts;
  if (!T::OneTile) {
    const int places = multiprocessors() / T::Cluster;
    if (clusters > places) clusters = places;
  }
  LaunchShape shape;
  shape.blocks = clusters * T::Cluster;
  shape.threads = T::Threads;
  shape.sharedBytes = T::SharedBytes;
  shape.cluster = T::Cluster;
  return launch(matrix_kernel<T, F>, shape, problem.flags, stream, p);
}

}  // namespace calotype
