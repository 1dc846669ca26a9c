/** @file Instances of matrix_sm90.cuh for operands of eight bits. */
#include "matrix_sm90.cuh"
#include "matrix_sm90.h"

namespace calotype {

#define INSTANCE(...)                                                                                       \
  template int launch_matrix<Tile<__VA_ARGS__>, Int8<__half>>(const MatrixProblem &, cudaStream_t);         \
  template int launch_matrix<Tile<__VA_ARGS__>, Int8<__nv_bfloat16>>(const MatrixProblem &, cudaStream_t);  \
  template int launch_matrix<Tile<__VA_ARGS__>, Fp8<__half>>(const MatrixProblem &, cudaStream_t);          \
  template int launch_matrix<Tile<__VA_ARGS__>, Fp8<__nv_bfloat16>>(const MatrixProblem &, cudaStream_t);
CALOTYPE_TILES_EIGHT_BITS(INSTANCE)

}  // namespace calotype
