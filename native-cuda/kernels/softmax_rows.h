/** @file Softmax over the rows of a matrix, where it is. */
#pragma once
#include "calotype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalotypeSoftmaxRowsArgs {
  /** [rows, columns] f32, rows `pitch` elements apart. */
  float *x;
  int32_t rows, columns, pitch;
  /** Of what is in x, before the softmax. */
  float scale;
} CalotypeSoftmaxRowsArgs;

int calotype_softmax_rows(const CalotypeSoftmaxRowsArgs *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
