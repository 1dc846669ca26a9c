// The functions of CalotypeActivation, once for all kernels.
#pragma once

#include "../calotype.h"

// Arithmetic of activations: as exact as f32 allows, or to a hundredth of what 16 bits can show and several times quicker.
struct Exact {
  static __device__ float exp(float x) { return expf(x); }
  static __device__ float divide(float a, float b) { return a / b; }
  static __device__ float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }
};
struct Quick {
  static __device__ float exp(float x) { return __expf(x); }
  static __device__ float divide(float a, float b) { return __fdividef(a, b); }

  // max(x, 0) - |x| * (1 - Phi(|x|)), where Phi is the normal distribution's and the power of two of a polynomial gives the
  // tail: fitted on [0, 6] to 4e-6 of it up to 4 and 5e-5 beyond, and falling ever after. Eleven instructions, no branch.
  static __device__ __forceinline__ float gelu(float x) {
    const float z = fabsf(x);
    float power = -1.7652487e-06f, tail;
    power = fmaf(power, z, 6.0407503e-05f);
    power = fmaf(power, z, -9.2270370e-04f);
    power = fmaf(power, z, 8.4830672e-03f);
    power = fmaf(power, z, -5.3920787e-02f);
    power = fmaf(power, z, -4.5849302e-01f);
    power = fmaf(power, z, -1.1512436f);
    power = fmaf(power, z, -0.99999559f);
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(tail) : "f"(power));
    return fmaf(-z, tail, fmaxf(x, 0.0f));
  }
};

template <class Math>
__device__ __forceinline__ float sigmoid(float x) {
  return Math::divide(1.0f, 1.0f + Math::exp(-x));
}

// Calls `use` with the function of an activation; not at all for none. All threads have the same `activation`.
template <class Math, class Use>
__device__ __forceinline__ void by_activation(int activation, Use use) {
  switch (activation) {
    case CALOTYPE_RELU:
      return use([](float x) { return fmaxf(x, 0.0f); });
    case CALOTYPE_SILU:
      return use([](float x) { return x * sigmoid<Math>(x); });
    case CALOTYPE_GELU:
      return use([](float x) { return Math::gelu(x); });
    case CALOTYPE_QUICK_GELU:
      return use([](float x) { return x * sigmoid<Math>(1.702f * x); });
    case CALOTYPE_TANH:
      return use([](float x) { return tanhf(x); });
    case CALOTYPE_GELU_TANH:
      return use([](float x) { return x * sigmoid<Math>(1.59576912f * (x + 0.044715f * x * x * x)); });
  }
}

template <class Math>
__device__ __forceinline__ float activate(float x, int activation) {
  by_activation<Math>(activation, [&](auto function) { x = function(x); });
  return x;
}
