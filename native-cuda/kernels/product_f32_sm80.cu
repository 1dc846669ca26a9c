/**
 * @file The products of product_f32.cu for cards without wgmma: mma.sync fed by cp.async, as in matrix_sm80.cu.
 *
 * A block of eight warps makes [128, 64] outputs from a ring of three stages of 32 channels: rows of f32, split on their way
 * into registers, and both halves of the packed weight. Sums of a stage are added up by ordinary additions.
 */
#include "launch.h"
#include "mma.cuh"
#include "product_f32.cuh"
#include "ptx.cuh"
#include "source_row.cuh"

namespace calotype {
namespace {

constexpr int kRows = 128, kColumns = 64, kThreads = 256, kStages = 3, kSteps = kBoxChannels / kStepChannels;
constexpr int kXRowBytes = kBoxChannels * 4, kWeightRowBytes = kBoxChannels * 2;
constexpr int kXBytes = kRows * kXRowBytes, kWeightBytes = kColumns * kWeightRowBytes;
constexpr int kStageBytes = kXBytes + 2 * kWeightBytes;
/** Of a warp: slabs of 16 rows, blocks of eight columns. Four warps below each other, two side by side. */
constexpr int kSlabs = 2, kBlocks = 4;

struct Parameters {
  MatrixProblem problem;
  Epilogue<float> epilogue;
  int xPitch, tilesM, tilesN;
};

/** As cp.async's sources want it: `bytes` of 16 are read, and zeros put after them. */
__device__ __forceinline__ void copy_some(uint32_t to, const void *from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

__device__ __forceinline__ uint32_t weight_unit(uint32_t tile, int row, int unit) {
  return tile + row * kWeightRowBytes + ((unit ^ (row / 2 % 4)) * 16);
}

__global__ void __launch_bounds__(kThreads) product_f32_small_kernel(const __grid_constant__ Parameters parameters) {
  extern __shared__ __align__(128) char ring[];
  const MatrixProblem &p = parameters.problem;
  const Epilogue<float> &e = parameters.epilogue;
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int tileN = blockIdx.x % parameters.tilesN, rest = blockIdx.x / parameters.tilesN;
  const int tileM = rest % parameters.tilesM, phase = rest / parameters.tilesM;
  wait_for_previous_kernel();
  allow_next_kernel();

  // A thread copies one unit of 16 bytes of every 32nd row of x, and one of each half of the weight.
  constexpr int RowsX = kRows * 8 / kThreads;
  SourceRow rows[RowsX];
#pragma unroll
  for (int i = 0; i < RowsX; i++) rows[i] = source_row(p, e, tileM * kRows + thread / 8 + i * (kThreads / 8), phase);
  const int chunks = ceil_div(p.channels, kBoxChannels), chunksOfTap = chunks + ceil_div(p.channels2, kBoxChannels);
  const int taps = p.kernelHeight * p.kernelWidth, steps = taps * chunksOfTap;
  const int packed = packed_channels(p.channels), packed2 = packed_channels(p.channels2);
  const uint32_t base = shared_address(ring);
  int loadTap = 0, loadChunk = 0;

  const auto load = [&](int stage) {
    const bool second = loadChunk >= chunks;
    const int first = (second ? loadChunk - chunks : loadChunk) * kBoxChannels;
    const int width = second ? p.channels2 : p.channels, pitch = second ? width : parameters.xPitch;
    const int tapY = loadTap / p.kernelWidth, tapX = loadTap - tapY * p.kernelWidth;
    const float *source = static_cast<const float *>(second ? p.x2 : p.x);
    const uint32_t x = base + stage * kStageBytes, weight = x + kXBytes;
    const int channel = first + thread % 8 * 4;
#pragma unroll
    for (int i = 0; i < RowsX; i++) {
      const int row = thread / 8 + i * (kThreads / 8), y = rows[i].y + tapY, column = rows[i].x + tapX;
      bool isInside = rows[i].isInside && channel < width;
      int64_t pixel = rows[i].image;
      if (p.isConvolution) {
        isInside = isInside && unsigned(y) < unsigned(p.height) && unsigned(column) < unsigned(p.width);
        pixel += int64_t(y) * p.width + column;
      }
      copy_some(x + row * kXRowBytes + ((thread % 8 ^ row % 8) * 16), isInside ? source + pixel * pitch + channel : p.x,
                isInside ? min(16, (width - channel) * 4) : 0);
    }
    const int row = thread / 4, n = tileN * kColumns + row, place = first + thread % 4 * 8;
    const bool isInside = n < p.n && place < (second ? packed2 : packed);
    const int64_t depth = int64_t(taps) * (packed + packed2);
    const int64_t at = (int64_t(phase) * p.n + n) * depth + loadTap * (packed + packed2) + (second ? packed : 0) + place;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int64_t from = isInside ? at + half * int64_t(p.phases) * p.n * depth : 0;
      copy_async(weight_unit(weight + half * kWeightBytes, row, thread % 4),
                 static_cast<const __half *>(p.weight) + from, isInside);
    }
    if (++loadChunk == chunksOfTap) {
      loadChunk = 0;
      loadTap++;
    }
  };

  float sum[kSlabs][4 * kBlocks] = {};
  const int warpM = warp / 2 * kSlabs * 16, warpN = warp % 2 * kBlocks * 8;
  for (int i = 0; i < kStages - 1; i++) {
    if (i < steps) load(i);
    copies_commit();
  }
  for (int step = 0; step < steps; step++) {
    copies_wait<kStages - 2>();
    __syncthreads();
    if (step + kStages - 1 < steps) load((step + kStages - 1) % kStages);
    copies_commit();
    const char *x = ring + step % kStages * kStageBytes;
    const uint32_t weight = shared_address(x) + kXBytes;
    float part[kSlabs][4 * kBlocks] = {};
    LeftOperand<kSteps> left[kSlabs];
#pragma unroll
    for (int slab = 0; slab < kSlabs; slab++)
#pragma unroll
      for (int k = 0; k < kSteps; k++) left[slab].load(k, x + (warpM + slab * 16 + lane_row()) * kXRowBytes, k);
    const RowScale scales[kSlabs][2] = {{left[0].scale(0), left[0].scale(1)}, {left[1].scale(0), left[1].scale(1)}};
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      uint32_t high[kSlabs][4], low[kSlabs][4], weights[2][kBlocks / 2][4];
#pragma unroll
      for (int slab = 0; slab < kSlabs; slab++) left[slab].split_step(k, scales[slab], high[slab], low[slab]);
#pragma unroll
      for (int i = 0; i < kBlocks; i++)
        load_blocks(weights[i % 2][i / 2], weight_unit(weight + i % 2 * kWeightBytes,
                                                       warpN + i / 2 * 16 + lane % 8 + lane / 16 * 8, k * 2 + lane / 8 % 2));
#pragma unroll
      for (int slab = 0; slab < kSlabs; slab++)
#pragma unroll
        for (int i = 0; i < kBlocks; i++) {
          const uint32_t *rounded = weights[0][i / 2] + i % 2 * 2, *left = weights[1][i / 2] + i % 2 * 2;
          multiply_16x8<__half>(part[slab] + 4 * i, low[slab], rounded);
          multiply_16x8<__half>(part[slab] + 4 * i, high[slab], left);
          multiply_16x8<__half>(part[slab] + 4 * i, high[slab], rounded);
        }
    }
#pragma unroll
    for (int slab = 0; slab < kSlabs; slab++)
#pragma unroll
      for (int i = 0; i < 4 * kBlocks; i++) sum[slab][i] = fmaf(part[slab][i], scales[slab][i / 2 % 2].inverse, sum[slab][i]);
  }
  copies_wait<0>();
#pragma unroll
  for (int slab = 0; slab < kSlabs; slab++) {
    unscale<kBlocks>(e, sum[slab], tileN * kColumns + warpN, phase);
    with_finish(e, tileM * kRows + warpM + slab * 16 + lane_row(), phase, [&](const auto &finish) {
#pragma unroll
      for (int i = 0; i < kBlocks; i += 2) finish.finish_sixteen(sum[slab] + 4 * i, tileN * kColumns + warpN + 8 * i);
    });
  }
}

}  // namespace

int product_f32_sm80(const MatrixProblem &problem, const CalotypeProductF32Args &args, cudaStream_t stream) {
  Parameters p;
  p.problem = problem;
  p.epilogue = epilogue_of<float>(problem);
  p.epilogue.outColumns = args.outPitch;
  p.epilogue.columnScale = scales_of(problem);
  p.xPitch = args.xPitch;
  p.tilesM = ceil_div(problem.m, kRows);
  p.tilesN = ceil_div(problem.n, kColumns);
  LaunchShape shape;
  shape.blocks = p.tilesM * p.tilesN * problem.phases;
  shape.threads = kThreads;
  shape.sharedBytes = kStages * kStageBytes;
  return launch(product_f32_small_kernel, shape, args.flags, stream, p);
}

}  // namespace calotype
