// Activation functions, by the numbers of src/kernels/activation.ts.
#pragma once

#include <cstdint>

enum Activation : int32_t { NONE, RELU, SILU, GELU, QUICK_GELU, TANH };

__device__ inline float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }

__device__ inline float activate(float x, int32_t activation) {
  switch (activation) {
    case RELU:
      return fmaxf(x, 0.0f);
    case SILU:
      return x / (1.0f + expf(-x));
    case GELU:
      return gelu(x);
    case QUICK_GELU:
      return x / (1.0f + expf(-1.702f * x));
    case TANH:
      return tanhf(x);
    default:
      return x;
  }
}
