/** @file Matrix products and convolutions as one problem, which the kernels of each architecture take. */
#pragma once
#include <cuda_fp16.h>
#include <stdint.h>

#include "calotype.h"

namespace calotype {

/** out[m, n] = act(sum over taps and channels + bias + rows + residual); a matrix product has one tap and no image. */
struct MatrixProblem {
  const __half *x, *x2, *weight, *bias, *rows, *residual;
  const int32_t *rowIndex;
  __half *out;
  int m, n;
  int channels, channels2;
  int kernelHeight, kernelWidth;
  bool isConvolution;
  int batch, height, width, outHeight, outWidth;
  int stride, padTop, padLeft, padBottom, padRight;
  /** 4 for a convolution of a doubled image, else 1; m then counts the pixels of one phase. */
  int phases;
  int activation, flags, config;

  int taps() const { return kernelHeight * kernelWidth; }
  int depth() const { return taps() * (channels + channels2); }
};

/** What the end of a matrix kernel reads of the problem, on the device. */
struct Epilogue {
  const __half *bias, *rows, *residual;
  const int32_t *rowIndex;
  __half *out;
  int m, n;
  /** Columns of `out`. */
  int outColumns;
  int pixels, width;
  int phases;
  int activation;
};

inline Epilogue epilogue_of(const MatrixProblem &p) {
  Epilogue e;
  e.bias = p.bias;
  e.rows = p.rows;
  e.residual = p.residual;
  e.rowIndex = p.rowIndex;
  e.out = p.out;
  e.m = p.m;
  e.n = p.n;
  e.outColumns = p.activation == CALOTYPE_GEGLU ? p.n / 2 : p.n;
  e.pixels = p.m / p.batch;
  e.width = p.phases > 1 ? p.width : p.outWidth;
  e.phases = p.phases;
  e.activation = p.activation;
  return e;
}

/** Number of configurations of an architecture's kernel. */
int matrix_sm90_configs();
int matrix_sm80_configs();
/** The measured choice, or a near one for shapes that were not measured. */
int matrix_sm90_choice(const MatrixProblem &problem);
int matrix_sm80_choice(const MatrixProblem &problem);
int matrix_sm90(const MatrixProblem &problem, int config, cudaStream_t stream);
int matrix_sm80(const MatrixProblem &problem, int config, cudaStream_t stream);

}  // namespace calotype
