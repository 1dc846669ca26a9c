/**
 * @file Matrix product and implicit-GEMM convolution for cards without wgmma: mma.sync fed by cp.async.
 *
 * A block keeps a ring of three pairs of tiles of BM and BN rows, whose 64 bytes are swizzled so that eight
 * rows of 16 bytes lie in different banks. Each thread copies the same column of a few rows all along, so a
 * convolution's pixels are found once, and a tap only moves them. Sums in halves are added to those in f32 every 128 products:
 * after each stage that would take other units as long as the products, and after all it would lose too many bits.
 */
#include "epilogue.cuh"
#include "finish.cuh"
#include "launch.h"
#include "lib/element.cuh"
#include "matrix.h"
#include "matrix_sm80.h"
#include "mma.cuh"
#include "ptx.cuh"
#include "source_row.cuh"

namespace calotype {
namespace {

constexpr int kStepBytes = 64;  // of a row, a stage
constexpr int kStages = 3;
constexpr int kHalfStages = 4;  // whose products are summed in halves: 128 of them

/** Halves whose products are summed in halves for a while. */
struct HalfSums : Plain<__half> {};

/** d[0..1] += a b in pairs of halves, which is how they are rounded. */
__device__ __forceinline__ void multiply_16x8_in_halves(uint32_t *d, const uint32_t *a, const uint32_t *b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0, %1}, {%2, %3, %4, %5}, {%6, %7}, {%0, %1};"
               : "+r"(d[0]), "+r"(d[1])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/** Adds pairs of halves to the sums in f32 that they belong to, and begins anew. */
template <int Count>
__device__ __forceinline__ void add_halves(float (&sum)[Count], uint32_t (&halves)[Count / 2]) {
#pragma unroll
  for (int i = 0; i < Count / 2; i++) {
    const float2 pair = __half22float2(reinterpret_cast<const __half2 &>(halves[i]));
    sum[2 * i] += pair.x;
    sum[2 * i + 1] += pair.y;
    halves[i] = 0;
  }
}

template <int BM_, int BN_, int WarpsM_, int WarpsN_>
struct SmallTile {
  static constexpr int BM = BM_, BN = BN_, WarpsM = WarpsM_, WarpsN = WarpsN_;
  static constexpr int Threads = WarpsM * WarpsN * 32, Slabs = BM / WarpsM / 16;
  static constexpr int StageBytes = (BM + BN) * kStepBytes;
  static constexpr int RowsX = BM * 4 / Threads, RowsWeight = BN * 4 / Threads;
  static_assert(BN / WarpsN == kChunk, "a warp has one chunk of columns");
  static_assert(WarpsM * WarpsN * 16 * kChunkPitch * 4 <= kStages * StageBytes, "the ring holds the epilogue's rows");
};

template <class F>
struct SmallParameters {
  MatrixProblem problem;
  Epilogue<typename F::Value> epilogue;
  int tilesM, tilesN;
};

__device__ __forceinline__ uint32_t swizzled(uint32_t tile, int row, int unit) {
  return tile + row * kStepBytes + ((unit ^ (row / 2 % 4)) * 16);
}

template <class T, class F>
__global__ void __launch_bounds__(T::Threads)
    small_matrix_kernel(const __grid_constant__ SmallParameters<F> parameters) {
  using Input = typename F::Input;
  constexpr bool InHalves = std::is_same_v<F, HalfSums>;
  constexpr int Step = kStepBytes / sizeof(Input), Unit = 16 / sizeof(Input);  // channels a stage, and 16 bytes
  extern __shared__ __align__(128) char ring[];
  const MatrixProblem &p = parameters.problem;
  const Epilogue<typename F::Value> &e = parameters.epilogue;
  const Input *weights = static_cast<const Input *>(p.weight);
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, unit = thread % 4;
  const int tileM = blockIdx.x % parameters.tilesM, rest = blockIdx.x / parameters.tilesM;
  const int tileN = rest % parameters.tilesN, phase = rest / parameters.tilesN;
  wait_for_previous_kernel();
  allow_next_kernel();

  SourceRow rows[T::RowsX];
#pragma unroll
  for (int i = 0; i < T::RowsX; i++)
    rows[i] = source_row(p, e, tileM * T::BM + thread / 4 + i * (T::Threads / 4), phase);
  const int chunks = ceil_div(p.channels, Step), chunksOfTap = chunks + ceil_div(p.channels2, Step);
  const int taps = p.kernelHeight * p.kernelWidth, steps = taps * chunksOfTap, depth = p.channels + p.channels2;
  const uint32_t base = shared_address(ring);
  int loadTap = 0, loadChunk = 0;

  const auto load = [&](int stage) {
    const bool second = loadChunk >= chunks;
    const int width = second ? p.channels2 : p.channels;
    const int channel = (second ? loadChunk - chunks : loadChunk) * Step + unit * Unit;
    const int tapY = loadTap / p.kernelWidth, tapX = loadTap - tapY * p.kernelWidth;
    const Input *source = static_cast<const Input *>(second ? p.x2 : p.x);
    const uint32_t x = base + stage * T::StageBytes, weight = x + T::BM * kStepBytes;
#pragma unroll
    for (int i = 0; i < T::RowsX; i++) {
      const int y = rows[i].y + tapY, column = rows[i].x + tapX;
      bool isInside = rows[i].isInside && channel < width;
      int64_t pixel = rows[i].image;
      if (p.isConvolution) {
        isInside = isInside && unsigned(y) < unsigned(p.height) && unsigned(column) < unsigned(p.width);
        pixel += int64_t(y) * p.width + column;
      }
      copy_async(swizzled(x, thread / 4 + i * (T::Threads / 4), unit),
                 isInside ? source + pixel * width + channel : p.x, isInside);
    }
#pragma unroll
    for (int i = 0; i < T::RowsWeight; i++) {
      const int row = thread / 4 + i * (T::Threads / 4), n = tileN * T::BN + row;
      const bool isInside = n < p.n && channel < width;
      const int64_t at = (int64_t(phase) * p.n + n) * taps * depth + loadTap * depth + (second ? p.channels : 0) + channel;
      copy_async(swizzled(weight, row, unit), isInside ? weights + at : weights, isInside);
    }
    if (++loadChunk == chunksOfTap) {
      loadChunk = 0;
      loadTap++;
    }
  };

  // A slab's sums as RegisterFinish takes them.
  typename F::Sum sum[T::Slabs][1][kChunk / 2] = {};
  uint32_t halves[InHalves ? T::Slabs : 1][kChunk / 4] = {};
  const int warpM = warp / T::WarpsN * T::Slabs * 16, warpN = warp % T::WarpsN * kChunk;
  for (int i = 0; i < kStages - 1; i++) {
    if (i < steps) load(i);
    copies_commit();
  }
  for (int step = 0; step < steps; step++) {
    copies_wait<kStages - 2>();
    __syncthreads();
    if (step + kStages - 1 < steps) load((step + kStages - 1) % kStages);
    copies_commit();
    const uint32_t x = base + step % kStages * T::StageBytes, weight = x + T::BM * kStepBytes;
#pragma unroll
    for (int k = 0; k < kStepBytes / 32; k++) {
      uint32_t a[T::Slabs][4], b[kChunk / 16][4];
#pragma unroll
      for (int slab = 0; slab < T::Slabs; slab++)
        load_blocks(a[slab], swizzled(x, warpM + slab * 16 + lane % 16, k * 2 + lane / 16));
#pragma unroll
      for (int i = 0; i < kChunk / 16; i++)
        load_blocks(b[i], swizzled(weight, warpN + i * 16 + lane % 8 + lane / 16 * 8, k * 2 + lane / 8 % 2));
#pragma unroll
      for (int slab = 0; slab < T::Slabs; slab++)
#pragma unroll
        for (int i = 0; i < kChunk / 8; i++) {
          if constexpr (InHalves)
            multiply_16x8_in_halves(halves[slab] + 2 * i, a[slab], b[i / 2] + i % 2 * 2);
          else
            multiply_16x8<Input>(sum[slab][0] + 4 * i, a[slab], b[i / 2] + i % 2 * 2);
        }
    }
    if constexpr (InHalves) {
      if (step % kHalfStages == kHalfStages - 1 || step == steps - 1) {
#pragma unroll
        for (int slab = 0; slab < T::Slabs; slab++) add_halves<kChunk / 2>(sum[slab][0], halves[slab]);
      }
    }
  }
  copies_wait<0>();
  __syncthreads();
  float *stage = reinterpret_cast<float *>(ring) + warp * 16 * kChunkPitch;
#pragma unroll
  for (int slab = 0; slab < T::Slabs; slab++) {
    const int m = tileM * T::BM + warpM + slab * 16, n = tileN * T::BN + warpN;
    if (e.activation == CALOTYPE_GEGLU)
      RegisterFinish<F, 1, 2, kChunk / 16, 1>(e, m, n, phase).store(sum[slab]);
    else
      finish_chunk<F, kChunk>(e, sum[slab][0], stage, m, n, phase, load_early<kChunk>(e, m, n, phase));
  }
}

template <class T, class F>
int launch_small(const MatrixProblem &problem, cudaStream_t stream) {
  SmallParameters<F> p;
  p.problem = problem;
  p.epilogue = epilogue_of<typename F::Value>(problem);
  p.tilesM = ceil_div(problem.m, T::BM);
  p.tilesN = ceil_div(problem.n, T::BN);
  LaunchShape shape;
  shape.blocks = p.tilesM * p.tilesN * problem.phases;
  shape.threads = T::Threads;
  shape.sharedBytes = kStages * T::StageBytes;
  return launch(small_matrix_kernel<T, F>, shape, problem.flags, stream, p);
}

using Large = SmallTile<128, 128, 2, 4>;
using Small = SmallTile<64, 64, 2, 2>;

}  // namespace

int matrix_sm80_configs() { return 2; }

/** The larger tile reads less; the smaller one fills the card. */
int matrix_sm80_choice(const MatrixProblem &p) {
  return int64_t(ceil_div(p.m, Large::BM)) * ceil_div(p.n, Large::BN) * p.phases < multiprocessors();
}

int matrix_sm80(const MatrixProblem &problem, int config, cudaStream_t stream) {
  if (problem.operands == CALOTYPE_FP8) return CALOTYPE_UNSUPPORTED;
  if (problem.flags & CALOTYPE_HALF_SUMS) {
    if (problem.element != CALOTYPE_F16 || problem.operands != CALOTYPE_VALUES) return CALOTYPE_UNSUPPORTED;
    return config == 0 ? launch_small<Large, HalfSums>(problem, stream) : launch_small<Small, HalfSums>(problem, stream);
  }
  return by_narrow_type(problem.element, [&](auto zero) {
    using T = decltype(zero);
    const auto launch = [&](auto format) {
      using F = decltype(format);
      return config == 0 ? launch_small<Large, F>(problem, stream) : launch_small<Small, F>(problem, stream);
    };
    return problem.operands == CALOTYPE_INT8 ? launch(Int8<T>{}) : launch(Plain<T>{});
  });
}

}  // namespace calotype
