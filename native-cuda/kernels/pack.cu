/** @file Weights into the matrix kernels' order. Run once a weight: a thread an element, no tuning. */
#include "pack.h"

#include "launch.h"
#include "lib/element.cuh"
#include "math.cuh"

namespace calotype {
namespace {

template <class T>
struct Packing {
  const T *in;
  T *out;
  int outChannels, channels, height, width;
  int64_t count;
};

template <class T>
__global__ void pack_conv_kernel(Packing<T> p) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= p.count) return;
  const int channel = i % p.channels, taps = p.height * p.width, tap = i / p.channels % taps;
  const int64_t out = i / p.channels / taps;
  p.out[i] = p.in[(out * p.channels + channel) * taps + tap];
}

/** Sums of the 3x3 taps that fall on one pixel: an even phase reads (0), (1, 2), an odd one (0, 1), (2). */
template <class T>
__global__ void pack_conv_upsample_kernel(Packing<T> p) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= p.count) return;
  const int channel = i % p.channels, tap = i / p.channels % 4, row = tap / 2, column = tap % 2;
  const int64_t block = i / p.channels / 4, out = block % p.outChannels;
  const int phase = block / p.outChannels, oddRow = phase / 2, oddColumn = phase % 2;
  const T *from = p.in + (out * p.channels + channel) * 9;
  const int firstY = row ? 1 + oddRow : 0, lastY = row ? 2 : oddRow;
  const int firstX = column ? 1 + oddColumn : 0, lastX = column ? 2 : oddColumn;
  float sum = 0.0f;
  for (int y = firstY; y <= lastY; y++)
    for (int x = firstX; x <= lastX; x++) sum += to_float(from[y * 3 + x]);
  p.out[i] = from_float<T>(sum);
}

template <class T>
__global__ void pack_geglu_kernel(Packing<T> p) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= p.count) return;
  const int channel = i % p.channels, row = i / p.channels, isGate = row / 8 % 2;
  const int64_t from = isGate * (p.outChannels / 2) + row / 16 * 8 + row % 8;
  p.out[i] = p.in[from * p.channels + channel];
}

template <class T>
int run(void (*kernel)(Packing<T>), const CalotypePackArgs &a, int64_t count, cudaStream_t stream) {
  if (count < 1 || a.in == a.out) return CALOTYPE_INVALID;
  const Packing<T> p = {static_cast<const T *>(a.in), static_cast<T *>(a.out), a.outChannels, a.channels,
                        a.kernelHeight, a.kernelWidth, count};
  LaunchShape shape;
  shape.blocks = int((count + 255) / 256);
  shape.threads = 256;
  return launch(kernel, shape, 0, stream, p);
}

}  // namespace
}  // namespace calotype

using namespace calotype;

extern "C" int calotype_pack_conv(const CalotypePackArgs *args, cudaStream_t stream) {
  const int64_t count = int64_t(args->outChannels) * args->channels * args->kernelHeight * args->kernelWidth;
  return by_narrow_type(args->element, [&](auto zero) {
    return run(pack_conv_kernel<decltype(zero)>, *args, count, stream);
  });
}

extern "C" int calotype_pack_conv_upsample(const CalotypePackArgs *args, cudaStream_t stream) {
  if (args->kernelHeight != 3 || args->kernelWidth != 3) return CALOTYPE_INVALID;
  const int64_t count = int64_t(16) * args->outChannels * args->channels;
  return by_narrow_type(args->element, [&](auto zero) {
    return run(pack_conv_upsample_kernel<decltype(zero)>, *args, count, stream);
  });
}

extern "C" int calotype_pack_geglu(const CalotypePackArgs *args, cudaStream_t stream) {
  if (args->outChannels % 16 || args->kernelHeight != 1 || args->kernelWidth != 1) return CALOTYPE_INVALID;
  const int64_t count = int64_t(args->outChannels) * args->channels;
  return by_narrow_type(args->element, [&](auto zero) {
    return run(pack_geglu_kernel<decltype(zero)>, *args, count, stream);
  });
}
