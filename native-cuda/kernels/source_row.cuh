/** @file Where the rows of a product's left operand lie, for kernels that copy them themselves. */
#pragma once
#include "matrix.h"

namespace calotype {

/** A row of the left operand: the pixel of its first tap, and its image's first pixel. */
struct SourceRow {
  int64_t image;
  int y, x;
  bool isInside;
};

template <class T>
__device__ __forceinline__ SourceRow source_row(const MatrixProblem &p, const Epilogue<T> &e, int m, int phase) {
  if (!p.isConvolution) return {m, 0, 0, m < p.m};
  const int image = m / e.pixels, pixel = m - image * e.pixels, y = pixel / e.width;
  return {int64_t(image) * p.height * p.width, y * p.stride - p.padTop + (phase >> 1),
          (pixel - y * e.width) * p.stride - p.padLeft + (phase & 1), m < p.m};
}

}  // namespace calotype
