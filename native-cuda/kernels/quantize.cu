// A warp a row, kept in registers between the search for its largest value and the rounding.
#include "quantize.h"

#include "calotype.h"
#include "gemm.h"
#include "launch.h"
#include "lib/element.cuh"
#include "lib/narrow.cuh"
#include "math.cuh"
#include "ptx.cuh"

namespace {

using namespace calotype;

constexpr int WARPS = 4;
constexpr int WIDTH = 16;  // elements of a lane at a time: 16 bytes of the result

__device__ float warp_max(float value) {
  for (int lane = 16; lane > 0; lane /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, lane));
  return value;
}

// The row that lands in row `row` of the result: gated ones alternate between blocks of values and of gates.
__device__ int source_row(const QuantizeRowsArgs& args, int row) {
  if (!args.gated) return row;
  return row / 8 % 2 * (args.rows / 2) + row / 16 * 8 + row % 8;
}

// KEPT: times WIDTH elements that a lane keeps; what is beyond is read twice.
template <class T, class Narrow, int KEPT>
__global__ void __launch_bounds__(32 * WARPS) quantize_rows_kernel(const __grid_constant__ QuantizeRowsArgs args) {
  const int row = blockIdx.x * WARPS + threadIdx.x / 32;
  const int first = threadIdx.x % 32 * WIDTH;
  wait_for_previous_kernel();
  allow_next_kernel();
  if (row >= args.rows) return;
  const T* from = static_cast<const T*>(args.x) + static_cast<int64_t>(source_row(args, row)) * args.channels;
  Narrow* to = static_cast<Narrow*>(args.y) + static_cast<int64_t>(row) * args.channels;
  uint4 kept[KEPT][2];
  float largest = 0.0f;
  const auto take = [&](const uint4& elements) {
    float v[8];
    unpack<T>(elements, v);
    for (int i = 0; i < 8; i++) largest = fmaxf(largest, fabsf(v[i]));
  };
#pragma unroll
  for (int i = 0; i < KEPT; i++) {
    const int channel = first + i * 32 * WIDTH;
    for (int j = 0; j < 2; j++)
      kept[i][j] = channel < args.channels ? reinterpret_cast<const uint4*>(from + channel)[j] : make_uint4(0, 0, 0, 0);
  }
#pragma unroll
  for (int i = 0; i < KEPT; i++)
    for (int j = 0; j < 2; j++) take(kept[i][j]);
  for (int channel = first + KEPT * 32 * WIDTH; channel < args.channels; channel += 32 * WIDTH)
    for (int j = 0; j < 2; j++) take(reinterpret_cast<const uint4*>(from + channel)[j]);
  largest = warp_max(largest);
  const float scale = largest / LARGEST<Narrow>;
  const float factor = largest > 0.0f ? LARGEST<Narrow> / largest : 0.0f;
  if (threadIdx.x % 32 == 0) args.scales[row] = scale;
  const auto store = [&](int channel, const uint4 (&elements)[2]) {
    Pack<Narrow, WIDTH> packed;
    for (int j = 0; j < 2; j++) {
      float v[8];
      unpack<T>(elements[j], v);
      for (int i = 0; i < 8; i++) packed.at[8 * j + i] = to_narrow<Narrow>(v[i] * factor);
    }
    store_pack(to, channel, packed);
  };
#pragma unroll
  for (int i = 0; i < KEPT; i++)
    if (first + i * 32 * WIDTH < args.channels) store(first + i * 32 * WIDTH, kept[i]);
  for (int channel = first + KEPT * 32 * WIDTH; channel < args.channels; channel += 32 * WIDTH) {
    const uint4 again[2] = {reinterpret_cast<const uint4*>(from + channel)[0],
                            reinterpret_cast<const uint4*>(from + channel)[1]};
    store(channel, again);
  }
}

template <class T, class Narrow>
int run(const QuantizeRowsArgs& args, cudaStream_t stream) {
  LaunchShape shape;
  shape.blocks = ceil_div(args.rows, WARPS);
  shape.threads = 32 * WARPS;
  if (args.channels <= 3 * 32 * WIDTH) return launch(quantize_rows_kernel<T, Narrow, 3>, shape, args.flags, stream, args);
  return launch(quantize_rows_kernel<T, Narrow, 6>, shape, args.flags, stream, args);
}

}  // namespace

int calotype_quantize_rows(const QuantizeRowsArgs* args, cudaStream_t stream) {
  if (args->rows < 1 || args->channels < 1 || args->channels % WIDTH || (args->gated && args->rows % 16))
    return CALOTYPE_INVALID;
  return by_narrow_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    return args->operands == CALOTYPE_FP8 ? run<T, __nv_fp8_e4m3>(*args, stream) : run<T, int8_t>(*args, stream);
  });
}
