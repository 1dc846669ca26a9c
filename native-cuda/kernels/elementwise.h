// Element-wise ops that no pass could fuse, and the gated GELU.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// y = activation(x)
typedef struct ActivateArgs {
  const void* x;
  void* y;
  int64_t count;
  int32_t activation;
  int32_t element;
} ActivateArgs;
int calotype_activate(const ActivateArgs* args, cudaStream_t stream);

// y = a + b
typedef struct AddArgs {
  const void* a;
  const void* b;
  void* y;
  int64_t count;
  int32_t element;
} AddArgs;
int calotype_add(const AddArgs* args, cudaStream_t stream);

// y = a * b
typedef struct MultiplyArgs {
  const void* a;
  const void* b;
  void* y;
  int64_t count;
  int32_t element;
} MultiplyArgs;
int calotype_multiply(const MultiplyArgs* args, cudaStream_t stream);

// y = x + gate * addend, where an image's gate is the columns from `gate` on of modulation[image] + table.
typedef struct AddGatedArgs {
  const void* x;
  const void* addend;
  // [images, columns] and [columns]
  const void* modulation;
  const void* table;
  void* y;
  int64_t count;
  int64_t image_elements;
  int32_t channels;
  int32_t columns;
  int32_t gate;
  int32_t element;
} AddGatedArgs;
int calotype_add_gated(const AddGatedArgs* args, cudaStream_t stream);

// y = x * scale + shift
typedef struct AffineArgs {
  const void* x;
  void* y;
  int64_t count;
  float scale;
  float shift;
  int32_t element;
} AffineArgs;
int calotype_affine(const AffineArgs* args, cudaStream_t stream);

// y = x + a row of `table`: row_index[image], or the image's own number, or the only row there is.
typedef struct AddVectorsArgs {
  const void* x;
  const void* table;
  const int32_t* row_index;
  void* y;
  int64_t count;
  int64_t image_elements;
  int32_t channels;
  int32_t table_rows;
  int32_t element;
} AddVectorsArgs;
int calotype_add_vectors(const AddVectorsArgs* args, cudaStream_t stream);

// y = x + scale[image, column] * addend; the addend is as large as x, or a vector an image if `vectors`.
typedef struct AddScaledArgs {
  const void* x;
  const void* addend;
  const float* scale;
  void* y;
  int64_t count;
  int64_t image_elements;
  int32_t channels;
  int32_t columns;
  int32_t column;
  int32_t vectors;
  int32_t element;
} AddScaledArgs;
int calotype_add_scaled(const AddScaledArgs* args, cudaStream_t stream);

// y[row, c] = x[row, c] * gelu(x[row, channels + c])
typedef struct GegluArgs {
  const void* x;
  void* y;
  int64_t rows;
  int32_t channels;
  int32_t element;
} GegluArgs;
int calotype_geglu(const GegluArgs* args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
