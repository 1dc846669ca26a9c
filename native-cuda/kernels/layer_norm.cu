/** @file Layer normalisation: a warp a row, the row in registers, mean and variance in two passes over them. */
#include "layer_norm.h"

#include "launch.h"
#include "lib/element.cuh"
#include "lib/reduce.cuh"
#include "math.cuh"
#include "ptx.cuh"

namespace calotype {
namespace {

constexpr int kWarps = 4;

template <class T, int Vectors>
__global__ void __launch_bounds__(kWarps * 32) layer_norm_kernel(const uint4 *x, const uint4 *weight, const uint4 *bias,
                                                                uint4 *out, int rows, int channels, float eps) {
  const int lane = threadIdx.x % 32, row = blockIdx.x * kWarps + threadIdx.x / 32, count = channels / 8;
  // Factors and terms come before the kernel ahead has ended, which does not write them, where registers allow.
  constexpr bool IsEarly = Vectors <= 5;
  uint4 factors[IsEarly ? Vectors : 1], terms[IsEarly ? Vectors : 1];
  if constexpr (IsEarly)
#pragma unroll
    for (int i = 0; i < Vectors; i++) {
      const int at = i * 32 + lane;
      factors[i] = at < count ? __ldg(weight + at) : make_uint4(0, 0, 0, 0);
      terms[i] = at < count ? __ldg(bias + at) : make_uint4(0, 0, 0, 0);
    }
  wait_for_previous_kernel();
  allow_next_kernel();
  if (row >= rows) return;
  const uint4 *from = x + size_t(row) * count;
  float v[Vectors][8];
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < Vectors; i++) {
    const int at = i * 32 + lane;
    unpack<T>(at < count ? from[at] : make_uint4(0, 0, 0, 0), v[i]);
  }
#pragma unroll
  for (int i = 0; i < Vectors; i++)
#pragma unroll
    for (int j = 0; j < 8; j++) sum += v[i][j];
  const float mean = warp_sum(sum) / channels;
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < Vectors; i++)
#pragma unroll
    for (int j = 0; j < 8; j++) {
      const float difference = i * 32 + lane < count ? v[i][j] - mean : 0.0f;
      squares += difference * difference;
    }
  const float scale = rsqrtf(warp_sum(squares) / channels + eps);
#pragma unroll
  for (int i = 0; i < Vectors; i++) {
    const int at = i * 32 + lane;
    if (at >= count) continue;
    float w[8], b[8];
    unpack<T>(IsEarly ? factors[IsEarly ? i : 0] : __ldg(weight + at), w);
    unpack<T>(IsEarly ? terms[IsEarly ? i : 0] : __ldg(bias + at), b);
#pragma unroll
    for (int j = 0; j < 8; j++) w[j] = fmaf((v[i][j] - mean) * scale, w[j], b[j]);
    out[size_t(row) * count + at] = pack<T>(w);
  }
}

template <class T, int Vectors>
int run_vectors(const CalotypeLayerNormArgs &a, cudaStream_t stream) {
  LaunchShape shape;
  shape.blocks = ceil_div(a.rows, kWarps);
  shape.threads = kWarps * 32;
  return launch(layer_norm_kernel<T, Vectors>, shape, a.flags, stream, static_cast<const uint4 *>(a.x),
                static_cast<const uint4 *>(a.weight), static_cast<const uint4 *>(a.bias), static_cast<uint4 *>(a.out),
                a.rows, a.channels, a.eps);
}

template <class T>
int run(const CalotypeLayerNormArgs &a, cudaStream_t stream) {
  const int vectors = ceil_div(a.channels, 256);
  if (vectors <= 1) return run_vectors<T, 1>(a, stream);
  if (vectors <= 2) return run_vectors<T, 2>(a, stream);
  if (vectors <= 3) return run_vectors<T, 3>(a, stream);
  if (vectors <= 5) return run_vectors<T, 5>(a, stream);
  if (vectors <= 8) return run_vectors<T, 8>(a, stream);
  return vectors <= 16 ? run_vectors<T, 16>(a, stream) : run_vectors<T, 32>(a, stream);
}

}  // namespace
}  // namespace calotype

extern "C" int calotype_layer_norm(const CalotypeLayerNormArgs *args, cudaStream_t stream) {
  using namespace calotype;
  if (args->rows < 1 || args->channels < 1) return CALOTYPE_INVALID;
  if (args->channels % 8 || args->channels > 8192) return CALOTYPE_UNSUPPORTED;
  return by_narrow_type(args->element, [&](auto zero) { return run<decltype(zero)>(*args, stream); });
}
