/**
 * @file Matrix product and implicit-GEMM convolution on wgmma, fed by the copy engine.
 *
 * A block is one producer warp and `Groups` warp groups of consumers. The producer keeps a ring of `Stages` pairs of
 * tiles [BM, 64] and [BN, 64] filled: rows of the left operand come from a matrix or, for convolutions, through
 * the engine's im2col mode, which finds the pixels under a tap and zeroes what lies outside. Consumers multiply and
 * hand their sums to the epilogue through shared memory, so that rows are stored in whole sectors.
 * Blocks of a cluster share loads (ClusterN blocks side by side the left operand, ClusterM blocks below each other
 * the right one) and, with Split > 1, the depth: each then sums a part of the taps and channels, and reduces a part
 * of the rows out of the others' shared memory.
 */
#pragma once
#include "epilogue.cuh"
#include "launch.h"
#include "matrix.h"
#include "ptx.cuh"
#include "wgmma.cuh"

namespace calotype {

constexpr int kDepth = 64;  // channels a stage: one swizzled row of 128 bytes

template <int BM_, int BN_, int Groups_, int Stages_, int ClusterM_, int ClusterN_, int Split_, int Resident_>
struct Tile {
  static constexpr int BM = BM_, BN = BN_, Groups = Groups_, Stages = Stages_;
  static constexpr int ClusterM = ClusterM_, ClusterN = ClusterN_, Split = Split_;
  /** Blocks meant to share a multiprocessor; then the epilogue reuses the ring, and a block does one tile. */
  static constexpr int Resident = Resident_;
  static constexpr int Cluster = ClusterM * ClusterN * Split;
  static constexpr int Slabs = BM / (64 * Groups);
  /** Sums beyond a thread's even share of registers: the producers, then a whole warp group, hand some over. */
  static constexpr bool Wide = Slabs * BN / 2 >= 128;
  static constexpr int Threads = Groups * 128 + (Wide ? 128 : 32);
  static constexpr int StageBytes = (BM + BN) * kDepth * 2;
  static constexpr bool OneTile = Split > 1 || Resident > 1;
  static constexpr int PartialPitch = BN + 8;
  static constexpr int ChunkBytes = Groups * 4 * 16 * kChunkPitch * 4;
  static constexpr int SharedBytes = 1024 + Stages * StageBytes + (OneTile ? 0 : ChunkBytes);
  static_assert(Split == 1 || BM * PartialPitch * 4 <= Stages * StageBytes, "partial sums do not fit the ring");
  static_assert(ChunkBytes <= Stages * StageBytes, "the ring is too small for the epilogue");
  static_assert(Slabs * 64 * Groups == BM && BM % Split == 0, "rows do not divide");
  static_assert(BM / ClusterN % 8 == 0 && BN / ClusterM % 8 == 0, "shared loads are whole atoms");
};

struct MatrixParameters {
  CUtensorMap x, x2, weight;
  Epilogue epilogue;
  int tilesM, tilesN, tiles;
  int chunks, chunks2, channels, channels2, taps, kernelWidth;
  bool isConvolution;
  int outWidth, stride, padTop, padLeft;
};

/** Where a block's tile lies. Tiles count down the rows first, so that blocks at work share weights. */
struct TilePlace {
  int m, n, phase;
};

template <class T>
__device__ __forceinline__ TilePlace tile_place(const MatrixParameters &p, int tile, uint32_t rank) {
  const int rowsOfClusters = p.tilesM / T::ClusterM, columnsOfClusters = p.tilesN / T::ClusterN;
  const int column = tile / rowsOfClusters, row = tile - column * rowsOfClusters;
  const int phase = column / columnsOfClusters;
  const int inM = rank / T::Split % T::ClusterM, inN = rank / (T::Split * T::ClusterM);
  return {(row * T::ClusterM + inM) * T::BM, ((column - phase * columnsOfClusters) * T::ClusterN + inN) * T::BN, phase};
}

struct Steps {
  int first, last;
};

template <class T>
__device__ __forceinline__ Steps steps_of(const MatrixParameters &p, uint32_t rank) {
  const int total = p.taps * (p.chunks + p.chunks2), part = rank % T::Split;
  return {total * part / T::Split, total * (part + 1) / T::Split};
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
};

template <class T>
__device__ void produce(const MatrixParameters &p, uint32_t ring, uint32_t full, uint32_t empty, uint32_t rank) {
  const uint32_t inM = rank / T::Split % T::ClusterM, inN = rank / (T::Split * T::ClusterM), part = rank % T::Split;
  uint16_t sharesX = 0, sharesWeight = 0;
  for (int i = 0; i < T::ClusterN; i++) sharesX |= 1 << (part + T::Split * (inM + T::ClusterM * i));
  for (int i = 0; i < T::ClusterM; i++) sharesWeight |= 1 << (part + T::Split * (i + T::ClusterM * inN));
  constexpr int rowsX = T::BM / T::ClusterN, rowsWeight = T::BN / T::ClusterM;
  const Steps steps = steps_of<T>(p, rank);
  const int chunksOfTap = p.chunks + p.chunks2;
  RingPosition<T::Stages> at;

  for (int tile = blockIdx.x / T::Cluster; tile < p.tiles; tile += gridDim.x / T::Cluster) {
    const TilePlace place = tile_place<T>(p, tile, rank);
    const int m = place.m + inN * rowsX;
    Im2col from = {};
    if (p.isConvolution) {
      from.image = m / p.epilogue.pixels;
      const int pixel = m - from.image * p.epilogue.pixels, y = pixel / p.outWidth;
      from.y = y * p.stride - p.padTop;
      from.x = (pixel - y * p.outWidth) * p.stride - p.padLeft;
    }
    const int n = place.n + inM * rowsWeight + place.phase * p.epilogue.n;
    int tap = steps.first / chunksOfTap, chunk = steps.first - tap * chunksOfTap;
    for (int step = steps.first; step < steps.last; step++) {
      barrier_wait(empty + at.stage * 8, at.parity ^ 1);
      const uint32_t landed = full + at.stage * 8, x = ring + at.stage * T::StageBytes, weight = x + T::BM * kDepth * 2;
      barrier_expect(landed, T::StageBytes);

      const bool second = chunk >= p.chunks;
      const CUtensorMap *map = second ? &p.x2 : &p.x;
      const int channel = (second ? chunk - p.chunks : chunk) * kDepth;
      const uint32_t xSlice = x + inN * rowsX * kDepth * 2;
      if (p.isConvolution) {
        from.channel = channel;
        const int tapY = tap / p.kernelWidth;
        from.tapX = tap - tapY * p.kernelWidth + (place.phase & 1);
        from.tapY = tapY + (place.phase >> 1);
        if (T::ClusterN == 1) copy_im2col(xSlice, map, landed, from);
        else copy_im2col(xSlice, map, landed, from, sharesX);
      } else {
        if (T::ClusterN == 1) copy_2d(xSlice, map, landed, channel, m);
        else copy_2d(xSlice, map, landed, channel, m, sharesX);
      }
      const int depth = tap * (p.channels + p.channels2) + (second ? p.channels : 0) + channel;
      const uint32_t weightSlice = weight + inM * rowsWeight * kDepth * 2;
      if (T::ClusterM == 1) copy_2d(weightSlice, &p.weight, landed, depth, n);
      else copy_2d(weightSlice, &p.weight, landed, depth, n, sharesWeight);

      at.advance();
      if (++chunk == chunksOfTap) {
        chunk = 0;
        tap++;
      }
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

template <class T>
__device__ __forceinline__ void multiply_tile(float (&sum)[T::Slabs][T::BN / 2], int steps, uint32_t ring, uint32_t full,
                                              uint32_t empty, uint32_t rank, RingPosition<T::Stages> &at) {
  const int group = threadIdx.x / 128;
#pragma unroll
  for (int slab = 0; slab < T::Slabs; slab++)
#pragma unroll
    for (int i = 0; i < T::BN / 2; i++) sum[slab][i] = 0.0f;
  int previous = 0;
  for (int step = 0; step < steps; step++) {
    barrier_wait(full + at.stage * 8, at.parity);
    const uint32_t x = ring + at.stage * T::StageBytes + group * T::Slabs * 64 * kDepth * 2;
    const uint32_t weight = ring + at.stage * T::StageBytes + T::BM * kDepth * 2;
#pragma unroll
    for (int slab = 0; slab < T::Slabs; slab++) pin(sum[slab]);
    products_begin();
#pragma unroll
    for (int k = 0; k < kDepth / 16; k++)
#pragma unroll
      for (int slab = 0; slab < T::Slabs; slab++)
        Product<T::BN>::multiply(sum[slab], operand(x + slab * 64 * kDepth * 2 + k * 32), operand(weight + k * 32));
    products_commit();
    // One group of products stays under way; the stage before it is done with.
    products_wait<1>();
    if (step > 0) release<T>(empty + previous * 8, rank);
    previous = at.stage;
    at.advance();
  }
  products_wait<0>();
#pragma unroll
  for (int slab = 0; slab < T::Slabs; slab++) pin(sum[slab]);
  if (steps > 0) release<T>(empty + previous * 8, rank);
}

template <class T>
__device__ __forceinline__ void finish_tile(const Epilogue &e, const float (&sum)[T::Slabs][T::BN / 2], char *stages,
                                            const TilePlace &place) {
  const int warp = threadIdx.x / 32, group = warp / 4;
  float *stage = reinterpret_cast<float *>(stages) + warp * 16 * kChunkPitch;
#pragma unroll
  for (int slab = 0; slab < T::Slabs; slab++) {
    const int m = place.m + (group * T::Slabs + slab) * 64 + warp % 4 * 16;
#pragma unroll
    for (int n = 0; n + kChunk <= T::BN; n += kChunk)
      finish_chunk<kChunk>(e, sum[slab] + n / 2, stage, m, place.n + n, place.phase);
    if constexpr (T::BN % kChunk != 0) {
      constexpr int n = T::BN / kChunk * kChunk;
      finish_chunk<T::BN % kChunk>(e, sum[slab] + n / 2, stage, m, place.n + n, place.phase);
    }
  }
}

/** Adds up the parts that the blocks of a cluster summed; each block finishes its share of the rows. */
template <class T>
__device__ __forceinline__ void finish_split(const Epilogue &e, float *partial, const TilePlace &place, uint32_t rank) {
  constexpr int Rows = T::BM / T::Split;
  const int part = rank % T::Split, group = e.activation == CALOTYPE_GEGLU ? 16 : 8;
  const int groups = T::BN / group;
  const uint32_t base = shared_address(partial), first = rank - part;
  for (int unit = threadIdx.x; unit < Rows * groups; unit += T::Groups * 128) {
    const int row = part * Rows + unit / groups, column = unit % groups * group;
    const uint4 residual = load_residual(e, place.m + row, place.n + column, place.phase);
    float v[8] = {}, gate[8] = {};
#pragma unroll
    for (int other = 0; other < T::Split; other++) {
      const uint32_t from = base + (row * T::PartialPitch + column) * 4;
      const float4 low = load_from_block(from, first + other), high = load_from_block(from + 16, first + other);
      v[0] += low.x, v[1] += low.y, v[2] += low.z, v[3] += low.w;
      v[4] += high.x, v[5] += high.y, v[6] += high.z, v[7] += high.w;
      if (group == 16) {
        const float4 g = load_from_block(from + 32, first + other), h = load_from_block(from + 48, first + other);
        gate[0] += g.x, gate[1] += g.y, gate[2] += g.z, gate[3] += g.w;
        gate[4] += h.x, gate[5] += h.y, gate[6] += h.z, gate[7] += h.w;
      }
    }
    if (group == 16) finish_geglu(e, place.m + row, place.n + column, v, gate);
    else finish(e, place.m + row, place.n + column, place.phase, v, residual);
  }
}

template <class T>
__global__ void __launch_bounds__(T::Threads, T::Resident) matrix_kernel(const __grid_constant__ MatrixParameters p) {
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
      barrier_init(empty + stage * 8, T::Groups * (T::ClusterM + T::ClusterN - 1));
    }
    barrier_init_fence();
  }
  if (T::Cluster > 1) cluster_sync();
  else __syncthreads();
  wait_for_previous_kernel();
  allow_next_kernel();

  if (threadIdx.x >= ProducerThread) {
    if constexpr (T::Wide) asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x == ProducerThread) produce<T>(p, ring, full, empty, rank);
  } else {
    if constexpr (T::Wide) asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    const Steps steps = steps_of<T>(p, rank);
    RingPosition<T::Stages> at;
    for (int tile = blockIdx.x / T::Cluster; tile < p.tiles; tile += gridDim.x / T::Cluster) {
      const TilePlace place = tile_place<T>(p, tile, rank);
      float sum[T::Slabs][T::BN / 2];
      multiply_tile<T>(sum, steps.last - steps.first, ring, full, empty, rank, at);
      // The ring is free for sums once all groups have read its last stage.
      if constexpr (T::OneTile) named_barrier(1, T::Groups * 128);
      if constexpr (T::Split == 1) {
        finish_tile<T>(p.epilogue, sum, ringBytes + (T::OneTile ? 0 : T::Stages * T::StageBytes), place);
      } else {
        const int warp = threadIdx.x / 32;
        float *partial = reinterpret_cast<float *>(ringBytes);
#pragma unroll
        for (int slab = 0; slab < T::Slabs; slab++) {
          const int row = (warp / 4 * T::Slabs + slab) * 64 + warp % 4 * 16;
          spill_rows<T::BN>(sum[slab], partial + row * T::PartialPitch, T::PartialPitch);
        }
      }
    }
  }
  if constexpr (T::Split > 1) {
    __syncwarp();
    cluster_sync();
    if (threadIdx.x < ProducerThread) {
      const TilePlace place = tile_place<T>(p, blockIdx.x / T::Cluster, rank);
      finish_split<T>(p.epilogue, reinterpret_cast<float *>(ringBytes), place, rank);
    }
  }
  // No block may end while another may still write to it or read from it.
  if constexpr (T::Cluster > 1) {
    __syncwarp();
    cluster_sync();
  }
#endif
}

template <class T>
int launch_matrix(const MatrixProblem &problem, cudaStream_t stream) {
  MatrixParameters p;
  p.epilogue = epilogue_of(problem);
  p.tilesM = ceil_div(ceil_div(problem.m, T::BM), T::ClusterM) * T::ClusterM;
  p.tilesN = ceil_div(ceil_div(problem.n, T::BN), T::ClusterN) * T::ClusterN;
  p.tiles = p.tilesM * p.tilesN / (T::ClusterM * T::ClusterN) * problem.phases;
  p.channels = problem.channels;
  p.channels2 = problem.channels2;
  p.chunks = ceil_div(problem.channels, kDepth);
  p.chunks2 = ceil_div(problem.channels2, kDepth);
  p.taps = problem.taps();
  p.kernelWidth = problem.kernelWidth;
  p.isConvolution = problem.isConvolution;
  p.outWidth = p.epilogue.width;
  p.stride = problem.stride;
  p.padTop = problem.padTop;
  p.padLeft = problem.padLeft;

  const bool geglu = problem.activation == CALOTYPE_GEGLU;
  if (geglu && (T::BN % 16 || T::BN % kChunk % 16)) return CALOTYPE_UNSUPPORTED;
  if (!encode_matrix(&p.weight, problem.weight, uint64_t(problem.n) * problem.phases, problem.depth(),
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
    if (!encode_im2col(&p.x, problem.x, shape)) return CALOTYPE_UNSUPPORTED;
    shape.channels = problem.channels2;
    if (problem.x2 && !encode_im2col(&p.x2, problem.x2, shape)) return CALOTYPE_UNSUPPORTED;
  } else {
    if (!encode_matrix(&p.x, problem.x, problem.m, problem.channels, T::BM / T::ClusterN)) return CALOTYPE_UNSUPPORTED;
    if (problem.x2 && !encode_matrix(&p.x2, problem.x2, problem.m, problem.channels2, T::BM / T::ClusterN))
      return CALOTYPE_UNSUPPORTED;
  }

  int clusters = p.tiles;
  if (!T::OneTile) {
    const int places = multiprocessors() / T::Cluster;
    if (clusters > places) clusters = places;
  }
  LaunchShape shape;
  shape.blocks = clusters * T::Cluster;
  shape.threads = T::Threads;
  shape.sharedBytes = T::SharedBytes;
  shape.cluster = T::Cluster;
  return launch(matrix_kernel<T>, shape, problem.flags, stream, p);
}

}  // namespace calotype
