/** @file Matrix products and convolutions as one problem, which the kernels of each architecture take. */
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <stdint.h>

#include "calotype.h"
#include "gemm.h"

namespace calotype {

/**
 * A matrix kernel's types: of the operands it multiplies, of their sums, and of the values it adds and writes. Formats
 * that are Scaled have a factor for each row and column of the sums.
 */
template <class T>
struct Plain {
  using Input = T;
  using Sum = float;
  using Value = T;
  static constexpr bool Scaled = false;
};
template <class T>
struct Int8 {
  using Input = int8_t;
  using Sum = int32_t;
  using Value = T;
  static constexpr bool Scaled = true;
};
template <class T>
struct Fp8 {
  using Input = __nv_fp8_e4m3;
  using Sum = float;
  using Value = T;
  static constexpr bool Scaled = true;
};

/** out[m, n] = act(sum over taps and channels + bias + rows + residual); a matrix product has one tap and no image. */
struct MatrixProblem {
  const void *x, *x2, *weight, *bias, *rows, *residual;
  const int32_t *rowIndex;
  void *out;
  /** Of the rows of x and of the weight; null but for operands of eight bits. */
  const float *rowScale, *columnScale;
  int m, n;
  int channels, channels2;
  int kernelHeight, kernelWidth;
  bool isConvolution;
  int batch, height, width, outHeight, outWidth;
  int stride, padTop, padLeft, padBottom, padRight;
  /** 4 for a convolution of a doubled image, else 1; m then counts the pixels of one phase. */
  int phases;
  int operands, activation, element, flags, config;
  /** Blocks that share a tile's depth, and memory for their sums. */
  int parts;
  void *partials, *counters;
  int64_t partialBytes;

  int taps() const { return kernelHeight * kernelWidth; }
  int depth() const { return taps() * (channels + channels2); }
};

/** What the end of a matrix kernel reads of the problem, on the device. T is the type of its values. */
template <class T>
struct Epilogue {
  const T *bias, *rows, *residual;
  const int32_t *rowIndex;
  const float *rowScale, *columnScale;
  T *out;
  int m, n;
  /** Columns of `out`. */
  int outColumns;
  int pixels, width;
  int phases;
  int activation;
};

template <class T>
Epilogue<T> epilogue_of(const MatrixProblem &p) {
  Epilogue<T> e;
  e.bias = static_cast<const T *>(p.bias);
  e.rows = static_cast<const T *>(p.rows);
  e.residual = static_cast<const T *>(p.residual);
  e.rowIndex = p.rowIndex;
  e.rowScale = p.rowScale;
  e.columnScale = p.columnScale;
  e.out = static_cast<T *>(p.out);
  e.m = p.m;
  e.n = p.n;
  e.outColumns = p.activation == CALOTYPE_GEGLU ? p.n / 2 : p.n;
  e.pixels = p.m / p.batch;
  e.width = p.phases > 1 ? p.width : p.outWidth;
  e.phases = p.phases;
  e.activation = p.activation;
  return e;
}

/** Number of configurations of an architecture's kernel for operands of a kind. */
int matrix_sm90_configs(int operands);
int matrix_sm80_configs();
/** What a model of the card expects to be fastest. */
int matrix_sm90_choice(const MatrixProblem &problem);
int matrix_sm80_choice(const MatrixProblem &problem);
int matrix_sm90(const MatrixProblem &problem, int config, cudaStream_t stream);
int matrix_sm80(const MatrixProblem &problem, int config, cudaStream_t stream);

}  // namespace calotype
