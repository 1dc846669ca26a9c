/**
 * @file Matrix product and implicit-GEMM convolution of f32 on Hopper's tensor cores.
 *
 * A number is split into a half and the half nearest to what is left, 22 bits in all; of the four products of two split
 * numbers the three larger ones are summed, in f32. So that f32's range is kept, rows of the weight are scaled by powers of two
 * when they are packed, and rows of the left operand stage by stage: products of 64 channels are summed by the tensor cores,
 * which cut sums off, and these sums are scaled back as ordinary additions add them up. NMSE of a product: 1e-14, as f32's own
 * (of pairs of bf16, which need no scales: 2e-11; of TF32: 9e-8).
 *
 * A block is a producer and two warp groups of consumers. The producer keeps a ring of stages filled, each of 64
 * channels: two f32 tiles [128, 32] of the left operand, by the copy engine's im2col mode for convolutions, and the packed
 * tiles [Columns, 64] of the right one. Consumers read the left operand into registers and split it there, so that
 * activations take no more memory and no more launches than before. A lane reads four neighbouring channels at once: they are
 * two pairs of the instruction's 16, which calotype_pack_f32 puts in that order; and lanes' rows are chosen so that eight
 * lanes read different banks.
 *
 * Ladder (H100; SD 1.5's decoder at 512x512 / SDXL's at 1024x1024 in f32, ms): CUDA cores (gemm-tiled.cu) 134 / 708; pairs of bf16
 * without scales, an epilogue that asked for its inputs one after the other, 20 us a tile: 15.8 / 63.4; scaled pairs of halves,
 * inputs asked for at once: 14.5 / 59.1.
 */
#include "product_f32.cuh"

#include <algorithm>

#include "launch.h"
#include "ptx.cuh"
#include "wgmma.cuh"

namespace calotype {

template <>
constexpr CUtensorMapDataType map_type<float>() {
  return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
}

namespace {

constexpr int kGroups = 2, kRows = 64 * kGroups;
/** The producers are a whole warp group, of which one thread works: registers go from group to group. */
constexpr int kThreads = (kGroups + 1) * 128, kProducerRegisters = 40, kConsumerRegisters = 232;
/** Channels of a stage. */
constexpr int kStageChannels = 64, kSteps = kStageChannels / kStepChannels;

template <int Columns_, int Stages_>
struct Tile {
  static constexpr int Columns = Columns_, Stages = Stages_;
  static constexpr int XBytes = 2 * kRows * kRowBytes, WeightBytes = Columns * kRowBytes;
  static constexpr int StageBytes = XBytes + 2 * WeightBytes;
  static constexpr int SharedBytes = 1024 + Stages * StageBytes;
  static_assert(WeightBytes % 1024 == 0 && SharedBytes <= 227 * 1024, "the ring");
};

struct Parameters {
  CUtensorMap x, x2, weight;
  Epilogue<float> epilogue;
  int tilesN, tiles;
  /** Stages of a tap, of both sources; channels of a tap of the packed weight, of the first source and of both. */
  int chunks, chunks2, packed, packedBoth;
  int taps, kernelWidth;
  bool isConvolution;
  int outWidth, stride, padTop, padLeft;
};

/** Where a block's tile lies. Tiles count along the columns first: those of a block of rows are done side by side. */
struct TilePlace {
  int m, n, phase;
};

template <class T>
__device__ __forceinline__ TilePlace tile_place(const Parameters &p, int tile) {
  const int across = p.tilesN * p.epilogue.phases, row = tile / across, column = tile - row * across;
  const int phase = column / p.tilesN;
  return {row * kRows, (column - phase * p.tilesN) * T::Columns, phase};
}

__device__ __forceinline__ Im2col first_pixel(const Parameters &p, const TilePlace &place) {
  Im2col from = {};
  from.image = place.m / p.epilogue.pixels;
  const int pixel = place.m - from.image * p.epilogue.pixels, y = pixel / p.outWidth;
  from.y = y * p.stride - p.padTop;
  from.x = (pixel - y * p.outWidth) * p.stride - p.padLeft;
  return from;
}

template <class T>
__device__ void produce(const Parameters &p, uint32_t ring, uint32_t full, uint32_t empty) {
  int count = 0;
  for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    const TilePlace place = tile_place<T>(p, tile);
    Im2col from = p.isConvolution ? first_pixel(p, place) : Im2col{};
    for (int tap = 0; tap < p.taps; tap++) {
      const int tapY = tap / p.kernelWidth;
      from.tapX = tap - tapY * p.kernelWidth + (place.phase & 1);
      from.tapY = tapY + (place.phase >> 1);
      for (int chunk = 0; chunk < p.chunks + p.chunks2; chunk++, count++) {
        const int stage = count % T::Stages;
        const uint32_t to = ring + stage * T::StageBytes, barrier = full + stage * 8;
        barrier_wait(empty + stage * 8, (count / T::Stages & 1) ^ 1);
        barrier_expect(barrier, T::StageBytes);
        const bool second = chunk >= p.chunks;
        const int channel = (second ? chunk - p.chunks : chunk) * kStageChannels;
        const CUtensorMap *map = second ? &p.x2 : &p.x;
#pragma unroll
        for (int half = 0; half < 2; half++) {
          from.channel = channel + half * kBoxChannels;
          const uint32_t box = to + half * kRows * kRowBytes;
          if (p.isConvolution) copy_im2col(box, map, barrier, from);
          else copy_2d(box, map, barrier, from.channel, place.m);
        }
        const int depth = tap * p.packedBoth + (second ? p.packed : 0) + channel;
        const int row = place.phase * p.epilogue.n + place.n;
        copy_2d(to + T::XBytes, &p.weight, barrier, depth, row);
        copy_2d(to + T::XBytes + T::WeightBytes, &p.weight, barrier, depth, row + p.epilogue.phases * p.epilogue.n);
      }
    }
  }
}

// N, the numbers of the operands after the sums, the sums (wgmma.cuh has their names).
#define SPLIT_WIDTHS(X)                                         \
  X(16, 8, 9, 10, 11, 12, 13, D8("+f", 0))                      \
  X(64, 32, 33, 34, 35, 36, 37, D32("+f", 0))                   \
  X(128, 64, 65, 66, 67, 68, 69, D64("+f", 0))                  \
  X(160, 80, 81, 82, 83, 84, 85, D64("+f", 0), D16("+f", 64))

/** d = x y^T + (keep ? d : 0): x in registers, y in shared memory with rows along K. */
template <int N>
__device__ __forceinline__ void multiply(float (&d)[N / 2], const uint32_t (&x)[4], uint64_t y, int keep);

#define SPLIT_PRODUCT(N, a, b, c, e, f, g, ...)                                                                      \
  template <>                                                                                                       \
  __device__ __forceinline__ void multiply<N>(float (&d)[N / 2], const uint32_t (&x)[4], uint64_t y, int keep) {    \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #g ", 0;\n"                                                   \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.f16.f16 {" LIST##N "}, {%" #a ",%" #b ",%" #c    \
                 ",%" #e "}, %" #f ", p, 1, 1, 0;\n}"                                                               \
                 : __VA_ARGS__                                                                                      \
                 : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "l"(y), "r"(keep));                                  \
  }
SPLIT_WIDTHS(SPLIT_PRODUCT)

/** Keeps registers from being used for something else before this point. */
__device__ __forceinline__ void keep(const uint32_t (&x)[4]) {
  asm volatile("" ::"r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]) : "memory");
}

/** A tile's sums of one warp's 16 rows: of each eight columns two of this lane's first row, two of its second, eight below. */
template <class T>
__device__ __forceinline__ void multiply_tile(float (&sum)[T::Columns / 2], int stages, int &count, const char *ring,
                                              uint32_t full, uint32_t empty) {
  const int firstRow = threadIdx.x / 32 * 16 + lane_row();
#pragma unroll
  for (int i = 0; i < T::Columns / 2; i++) sum[i] = 0.0f;
  float part[T::Columns / 2];
#pragma unroll
  for (int i = 0; i < T::Columns / 2; i++) part[i] = 0.0f;
  for (int end = count + stages; count < end; count++) {
    const int stage = count % T::Stages;
    const char *x = ring + stage * T::StageBytes;
    const uint32_t weight = shared_address(x) + T::XBytes, rest = weight + T::WeightBytes;
    barrier_wait(full + stage * 8, count / T::Stages & 1);
    pin(part);
    LeftOperand<kSteps> left;
#pragma unroll
    for (int step = 0; step < kSteps; step++)
      left.load(step, x + (step / 2 * kRows + firstRow) * kRowBytes, step % 2);
    const RowScale scales[2] = {left.scale(0), left.scale(1)};
    uint32_t high[kSteps][4], low[kSteps][4];
#pragma unroll
    for (int step = 0; step < kSteps; step++) {
      left.split_step(step, scales, high[step], low[step]);
      products_begin();
      multiply<T::Columns>(part, low[step], operand(weight + step * 32), step > 0);
      multiply<T::Columns>(part, high[step], operand(rest + step * 32), 1);
      multiply<T::Columns>(part, high[step], operand(weight + step * 32), 1);
      products_commit();
    }
    products_wait<0>();
    pin(part);
    // Products read these registers until now.
#pragma unroll
    for (int step = 0; step < kSteps; step++) keep(high[step]), keep(low[step]);
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(empty + stage * 8);
#pragma unroll
    for (int i = 0; i < T::Columns / 2; i++) sum[i] = fmaf(part[i], scales[i / 2 % 2].inverse, sum[i]);
  }
}

template <class T>
__device__ __forceinline__ void finish_tile(const Epilogue<float> &e, float (&sum)[T::Columns / 2], const TilePlace &place) {
  unscale<T::Columns / 8>(e, sum, place.n, place.phase);
  with_finish(e, place.m + threadIdx.x / 32 * 16 + lane_row(), place.phase, [&](const auto &finish) {
    if (e.activation == CALOTYPE_NONE) {
      constexpr int Blocks = T::Columns % 64 ? (T::Columns % 80 ? 2 : 10) : 8;
#pragma unroll
      for (int i = 0; i < T::Columns / 8; i += Blocks)
        finish.template finish<Blocks, false>(sum + 4 * i, place.n + 8 * i);
      return;
    }
    // Not unrolled, so that the code stays in the instruction cache: each round takes the first sums and moves the others down.
#pragma unroll 1
    for (int n = place.n; n < place.n + T::Columns; n += 16) {
      finish.finish_sixteen(sum, n);
#pragma unroll
      for (int i = 0; i + 8 < T::Columns / 2; i++) sum[i] = sum[i + 8];
    }
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) product_f32_kernel(const __grid_constant__ Parameters p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ char sharedBytes[];
  __shared__ uint64_t barriers[2 * T::Stages];
  const char *ring = sharedBytes + (1024 - shared_address(sharedBytes) % 1024) % 1024;
  const uint32_t full = shared_address(barriers), empty = full + T::Stages * 8;
  constexpr int ProducerThread = kGroups * 128;
  if (threadIdx.x == ProducerThread) {
    prefetch_map(&p.x);
    prefetch_map(&p.weight);
    for (int stage = 0; stage < T::Stages; stage++) {
      barrier_init(full + stage * 8, 1);
      barrier_init(empty + stage * 8, kGroups * 4);
    }
    barrier_init_fence();
  }
  __syncthreads();
  allow_next_kernel();
  wait_for_previous_kernel();
  if (threadIdx.x >= ProducerThread) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kProducerRegisters));
    if (threadIdx.x == ProducerThread) produce<T>(p, shared_address(ring), full, empty);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kConsumerRegisters));
    const int stages = p.taps * (p.chunks + p.chunks2);
    int count = 0;
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
      float sum[T::Columns / 2];
      multiply_tile<T>(sum, stages, count, ring, full, empty);
      finish_tile<T>(p.epilogue, sum, tile_place<T>(p, tile));
    }
  }
#endif
}

/** What is asked for, in the terms of all matrix kernels. */
int problem_of(const CalotypeProductF32Args &a, MatrixProblem *p) {
  const int scale = a.upsample ? 2 : 1;
  *p = {};
  p->x = a.x, p->x2 = a.x2, p->weight = a.weight;
  p->bias = a.bias, p->rows = a.rows, p->rowIndex = a.rowIndex, p->residual = a.residual, p->out = a.out;
  p->n = a.outChannels, p->channels = a.channels, p->channels2 = a.channels2;
  p->kernelHeight = a.kernelHeight, p->kernelWidth = a.kernelWidth, p->stride = a.stride;
  p->batch = a.batch, p->height = a.height, p->width = a.width;
  p->padTop = a.padTop, p->padLeft = a.padLeft, p->padBottom = a.padBottom, p->padRight = a.padRight;
  p->activation = a.activation;
  if (a.batch < 1 || a.channels < 1 || a.outChannels < 1 || a.stride < 1 || (a.channels2 > 0) != (a.x2 != nullptr) ||
      (a.activation == CALOTYPE_GEGLU && (a.residual || a.rows || a.outChannels % 16)))
    return CALOTYPE_INVALID;
  p->outHeight = (a.height * scale + a.padTop + a.padBottom - a.kernelHeight) / a.stride + 1;
  p->outWidth = (a.width * scale + a.padLeft + a.padRight - a.kernelWidth) / a.stride + 1;
  if (p->outHeight < 1 || p->outWidth < 1) return CALOTYPE_INVALID;
  if (a.xPitch % 4 || a.channels2 % 4 || a.stride > 8) return CALOTYPE_UNSUPPORTED;
  p->phases = 1;
  p->m = a.batch * p->outHeight * p->outWidth;
  if (a.upsample) {
    const bool isSupported = a.kernelHeight == 3 && a.kernelWidth == 3 && a.stride == 1 && a.padTop == 1 &&
                             a.padLeft == 1 && a.padBottom == 1 && a.padRight == 1 && !a.x2;
    if (!isSupported) return CALOTYPE_UNSUPPORTED;
    p->phases = 4;
    p->kernelHeight = p->kernelWidth = 2;
    p->m = a.batch * a.height * a.width;
  }
  p->isConvolution = p->taps() > 1 || p->stride > 1 || a.padTop || a.padLeft || a.padBottom || a.padRight;
  return p->isConvolution && a.xPitch != a.channels ? CALOTYPE_UNSUPPORTED : CALOTYPE_OK;
}

/** The map of a source of `channels`, rows of a matrix `pitch` apart. */
bool encode_source(CUtensorMap *map, const MatrixProblem &problem, const void *x, int channels, int pitch) {
  if (problem.isConvolution) {
    Im2colShape shape = {problem.batch,
                         problem.height,
                         problem.width,
                         channels,
                         problem.stride,
                         -problem.padLeft,
                         -problem.padTop,
                         problem.padRight - (problem.kernelWidth - 1),
                         problem.padBottom - (problem.kernelHeight - 1),
                         kRows};
    if (problem.phases > 1) shape.upperX = shape.upperY = -1;
    return encode_im2col<float>(map, x, shape);
  }
  const uint64_t size[] = {uint64_t(channels), uint64_t(problem.m)}, stride[] = {pitch * sizeof(float)};
  const uint32_t box[] = {kBoxChannels, kRows};
  return encode_tiled<float>(map, x, 2, size, stride, box);
}

template <class T>
int launch_tile(const MatrixProblem &problem, const CalotypeProductF32Args &a, cudaStream_t stream) {
  Parameters p;
  p.epilogue = epilogue_of<float>(problem);
  p.epilogue.outColumns = a.outPitch;
  p.epilogue.columnScale = scales_of(problem);
  p.tilesN = ceil_div(problem.n, T::Columns);
  p.tiles = ceil_div(problem.m, kRows) * p.tilesN * problem.phases;
  p.chunks = ceil_div(problem.channels, kStageChannels);
  p.chunks2 = ceil_div(problem.channels2, kStageChannels);
  p.packed = packed_channels(problem.channels);
  p.packedBoth = p.packed + packed_channels(problem.channels2);
  p.taps = problem.taps();
  p.kernelWidth = problem.kernelWidth;
  p.isConvolution = problem.isConvolution;
  p.outWidth = p.epilogue.width;
  p.stride = problem.stride;
  p.padTop = problem.padTop;
  p.padLeft = problem.padLeft;
  const uint64_t weightRows = uint64_t(2) * problem.phases * problem.n;
  if (!encode_matrix<__half>(&p.weight, problem.weight, weightRows, uint64_t(p.taps) * p.packedBoth, T::Columns) ||
      !encode_source(&p.x, problem, problem.x, problem.channels, a.xPitch) ||
      (problem.x2 && !encode_source(&p.x2, problem, problem.x2, problem.channels2, problem.channels2)))
    return CALOTYPE_UNSUPPORTED;
  LaunchShape shape;
  shape.blocks = std::min(p.tiles, multiprocessors());
  shape.threads = kThreads;
  shape.sharedBytes = T::SharedBytes;
  return launch(product_f32_kernel<T>, shape, a.flags, stream, p);
}

struct TileChoice {
  int columns;
  int (*launch)(const MatrixProblem &, const CalotypeProductF32Args &, cudaStream_t);
};

constexpr TileChoice kTiles[] = {{160, launch_tile<Tile<160, 3>>},
                                 {128, launch_tile<Tile<128, 3>>},
                                 {64, launch_tile<Tile<64, 4>>},
                                 {16, launch_tile<Tile<16, 5>>}};
constexpr int kTileCount = sizeof(kTiles) / sizeof(TileChoice);

/** The tile whose rounds over the card take least: a stage's products, or splitting its left operand if that takes longer. */
int best_tile(const MatrixProblem &p) {
  int best = 0, least = 0;
  for (int i = 0; i < kTileCount; i++) {
    const int tiles = ceil_div(p.m, kRows) * ceil_div(p.n, kTiles[i].columns) * p.phases;
    const int time = ceil_div(tiles, multiprocessors()) * (std::max(kTiles[i].columns, 40) + 16);
    if (i && time >= least) continue;
    best = i;
    least = time;
  }
  return best;
}

// Packing.

struct Packing {
  CalotypePackF32Args args;
  int packed, packedBoth, taps;
  int64_t rows;
};

/** The channel at a place in the packed order: of each 16, lanes' first pairs and then their second ones. */
__device__ __forceinline__ int channel_at(int place) {
  const int within = place % kStepChannels, pair = within % 8 / 2;
  return place - within + pair * 4 + within / 8 * 2 + within % 2;
}

/** A sum of the 3x3 taps that fall on one pixel: an even phase reads (0), (1, 2), an odd one (0, 1), (2). */
__device__ float tap_of_phase(const float *from, int phase, int tap) {
  const int row = tap / 2, column = tap % 2, oddRow = phase / 2, oddColumn = phase % 2;
  const int firstY = row ? 1 + oddRow : 0, lastY = row ? 2 : oddRow;
  const int firstX = column ? 1 + oddColumn : 0, lastX = column ? 2 : oddColumn;
  float sum = 0.0f;
  for (int y = firstY; y <= lastY; y++)
    for (int x = firstX; x <= lastX; x++) sum += from[y * 3 + x];
  return sum;
}

/** The i-th number of a packed row. */
__device__ float packed_number(const Packing &p, int64_t packedRow, int i) {
  const CalotypePackF32Args &a = p.args;
  const int place = i % p.packedBoth, tap = i / p.packedBoth, phase = packedRow / a.rows;
  int64_t row = packedRow % a.rows;
  if (a.gated) row = row / 8 % 2 * (a.rows / 2) + row / 16 * 8 + row % 8;
  const bool second = place >= p.packed;
  const int within = channel_at(second ? place - p.packed : place);
  if (within >= (second ? a.channels2 : a.channels)) return 0.0f;
  const float *from = a.in + row * a.rowPitch + (second ? a.channels + within : within) * a.channelPitch;
  return a.upsample ? tap_of_phase(from, phase, tap) : from[tap];
}

/** A warp packs a row: its largest number first, then all of them. */
__global__ void pack_f32_kernel(Packing p) {
  const int64_t row = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= p.rows) return;
  const int count = p.taps * p.packedBoth, lane = threadIdx.x % 32;
  float largest = 0.0f;
  for (int i = lane; i < count; i += 32) largest = fmaxf(largest, fabsf(packed_number(p, row, i)));
  for (int other = 16; other > 0; other /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, other));
  const RowScale scale(largest);
  __half *out = static_cast<__half *>(p.args.out) + row * count;
  const int64_t all = packed_elements(p.rows, p.taps, p.packedBoth);
  for (int i = lane; i < count; i += 32) {
    const float value = packed_number(p, row, i) * scale.factor;
    const __half high = __float2half_rn(value);
    out[i] = high;
    out[all + i] = __float2half_rn(value - __half2float(high));
  }
  if (lane == 0) reinterpret_cast<float *>(static_cast<__half *>(p.args.out) + 2 * all)[row] = scale.inverse;
}

}  // namespace
}  // namespace calotype

using namespace calotype;

extern "C" int calotype_product_f32(const CalotypeProductF32Args *args, cudaStream_t stream) {
  MatrixProblem problem;
  const int status = problem_of(*args, &problem);
  if (status) return status;
  const int tile = args->config >= 0 ? args->config : is_hopper() ? best_tile(problem) : kTileCount;
  if (tile == kTileCount) return product_f32_sm80(problem, *args, stream);
  return tile < kTileCount && is_hopper() ? kTiles[tile].launch(problem, *args, stream) : CALOTYPE_INVALID;
}

extern "C" int calotype_pack_f32(const CalotypePackF32Args *args, cudaStream_t stream) {
  const CalotypePackF32Args &a = *args;
  if (a.rows < 1 || a.channels < 1 || a.taps < 1 || (a.upsample && a.taps != 9) || (a.gated && a.rows % 16) || a.in == a.out)
    return CALOTYPE_INVALID;
  Packing p = {a, packed_channels(a.channels), 0, a.upsample ? 4 : a.taps, 0};
  p.packedBoth = p.packed + packed_channels(a.channels2);
  p.rows = int64_t(a.upsample ? 4 : 1) * a.rows;
  LaunchShape shape;
  shape.blocks = int((p.rows + 7) / 8);
  shape.threads = 256;
  return launch(pack_f32_kernel, shape, 0, stream, p);
}
