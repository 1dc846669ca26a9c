/** @file Instances of matrix_sm90.cuh; several files, so that they compile side by side. */
#include "matrix_sm90.cuh"
#include "matrix_sm90.h"

namespace calotype {

#define INSTANCE(...)                                                                                  \
  template int launch_matrix<Tile<__VA_ARGS__>, Plain<__half>>(const MatrixProblem &, cudaStream_t); \
  template int launch_matrix<Tile<__VA_ARGS__>, Plain<__nv_bfloat16>>(const MatrixProblem &, cudaStream_t);
CALOTYPE_TILES_PLAIN(INSTANCE)

}  // namespace calotype
