// A warp a row: its mean where the norm has one, its variance about that, and what the norm makes of each value.
#include "row_norms.h"

#include "lib/element.cuh"
#include "lib/reduce.cuh"

namespace {

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / 32;

template <class T>
__device__ float modulation_at(const AdaLayerNormArgs& args, int64_t image, int column) {
  return load_float<T>(args.modulation, image * args.columns + column) + load_float<T>(args.table, column);
}

// What a norm makes of the normalised value of a channel.
template <class T>
__device__ float finish(const LayerNormRowsArgs& args, int64_t, int channel, float normal) {
  return fmaf(normal, load_float<T>(args.weight, channel), load_float<T>(args.bias, channel));
}

template <class T>
__device__ float finish(const AdaLayerNormArgs& args, int64_t row, int channel, float normal) {
  const int64_t image = row / args.image_rows;
  const float scale = modulation_at<T>(args, image, args.scale + channel);
  return fmaf(normal, 1.0f + scale, modulation_at<T>(args, image, args.shift + channel));
}

template <class T>
__device__ float finish(const RmsNormArgs& args, int64_t, int channel, float normal) {
  return normal * load_float<T>(args.weight, channel);
}

template <class T, int N, class Args>
__global__ void row_norm_kernel(Args args) {
  constexpr bool HAS_MEAN = !std::is_same_v<Args, RmsNormArgs>;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.x / 32;
  if (row >= args.rows) return;
  const int64_t first = row * args.channels;
  const int lane = threadIdx.x % 32 * N;
  float mean = 0.0f;
  if constexpr (HAS_MEAN) {
    float sum = 0.0f;
    for (int channel = lane; channel < args.channels; channel += 32 * N) {
      const auto x = load_pack<T, N>(args.x, first + channel);
      for (int i = 0; i < N; i++) sum += to_float(x.at[i]);
    }
    mean = warp_sum(sum) / args.channels;
  }
  float squares = 0.0f;
  for (int channel = lane; channel < args.channels; channel += 32 * N) {
    const auto x = load_pack<T, N>(args.x, first + channel);
    for (int i = 0; i < N; i++) {
      const float difference = to_float(x.at[i]) - mean;
      squares = fmaf(difference, difference, squares);
    }
  }
  const float scale = 1.0f / sqrtf(warp_sum(squares) / args.channels + args.eps);
  for (int channel = lane; channel < args.channels; channel += 32 * N) {
    auto x = load_pack<T, N>(args.x, first + channel);
    for (int i = 0; i < N; i++)
      x.at[i] = from_float<T>(finish<T>(args, row, channel + i, (to_float(x.at[i]) - mean) * scale));
    store_pack(args.y, first + channel, x);
  }
}

template <class Args>
int run(const Args& args, cudaStream_t stream) {
  by_type(args.element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) { row_norm_kernel<T, n, Args><<<blocks_for(args.rows, WARPS), THREADS, 0, stream>>>(args); },
        args.channels);
  });
  return cudaGetLastError();
}

}  // namespace

int calotype_layer_norm_rows(const LayerNormRowsArgs* args, cudaStream_t stream) { return run(*args, stream); }

int calotype_ada_layer_norm(const AdaLayerNormArgs* args, cudaStream_t stream) { return run(*args, stream); }

int calotype_rms_norm(const RmsNormArgs* args, cudaStream_t stream) { return run(*args, stream); }
