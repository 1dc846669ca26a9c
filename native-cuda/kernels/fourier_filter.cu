// A block takes 32 channels of an image: the image's products with seven waves, then the image with them added.
#include "fourier_filter.h"

#include "lib/element.cuh"

namespace {

constexpr int CHANNELS = 32;
constexpr int ROWS = 16;

// The constant, and cosine and sine along rows, along columns, and along both.
constexpr int WAVES = 7;

struct Waves {
  float at[WAVES];
};

__device__ Waves waves_at(const FourierFilterArgs& args, int pixel) {
  const int row = pixel / args.width, column = pixel - row * args.width;
  const float2 y = reinterpret_cast<const float2*>(args.row_waves)[row];
  const float2 x = reinterpret_cast<const float2*>(args.column_waves)[column];
  return {{1.0f, y.x, y.y, x.x, x.y, y.x * x.x - y.y * x.y, y.y * x.x + y.x * x.y}};
}

template <class T>
__global__ void __launch_bounds__(CHANNELS* ROWS) fourier_filter_kernel(const FourierFilterArgs args) {
  __shared__ float sums[ROWS][WAVES][CHANNELS];
  const int blocks = (args.channels + CHANNELS - 1) / CHANNELS;
  const int channel = blockIdx.x % blocks * CHANNELS + threadIdx.x;
  const int pixels = args.height * args.width;
  const int64_t first = static_cast<int64_t>(blockIdx.x / blocks) * pixels * args.channels + channel;
  const bool inside = channel < args.channels;

  float sum[WAVES] = {};
  for (int pixel = threadIdx.y; inside && pixel < pixels; pixel += ROWS) {
    const float x = load_float<T>(args.x, first + static_cast<int64_t>(pixel) * args.channels);
    const Waves waves = waves_at(args, pixel);
    for (int i = 0; i < WAVES; i++) sum[i] = fmaf(x, waves.at[i], sum[i]);
  }
  for (int i = 0; i < WAVES; i++) sums[threadIdx.y][i][threadIdx.x] = sum[i];
  __syncthreads();
  for (int i = 0; i < WAVES; i++) {
    sum[i] = 0.0f;
    for (int row = 0; row < ROWS; row++) sum[i] += sums[row][i][threadIdx.x];
  }

  for (int pixel = threadIdx.y; inside && pixel < pixels; pixel += ROWS) {
    const int64_t at = first + static_cast<int64_t>(pixel) * args.channels;
    const Waves waves = waves_at(args, pixel);
    float low = 0.0f;
    for (int i = 0; i < WAVES; i++) low = fmaf(sum[i], waves.at[i], low);
    static_cast<T*>(args.y)[at] = from_float<T>(fmaf(args.change, low, load_float<T>(args.x, at)));
  }
}

}  // namespace

int calotype_fourier_filter(const FourierFilterArgs* args, cudaStream_t stream) {
  const unsigned blocks = static_cast<unsigned>(args->images * ((args->channels + CHANNELS - 1) / CHANNELS));
  by_type(args->element, [&](auto zero) {
    fourier_filter_kernel<decltype(zero)><<<blocks, dim3(CHANNELS, ROWS), 0, stream>>>(*args);
  });
  return cudaGetLastError();
}
