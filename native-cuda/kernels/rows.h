// Ops that move rows without arithmetic to speak of: concatenation, ranges of channels, gathering, embedding, resizing.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// y[row, y_first + c] = x[row, x_first + c] for c < channels; x and y have rows of x_channels and y_channels.
typedef struct CopyChannelsArgs {
  const void* x;
  void* y;
  int64_t rows;
  int32_t channels;
  int32_t x_channels;
  int32_t x_first;
  int32_t y_channels;
  int32_t y_first;
  int32_t element;
} CopyChannelsArgs;
int calotype_copy_channels(const CopyChannelsArgs* args, cudaStream_t stream);

// y[row, c] = x[row, c] for c < x_channels, and zero from there to y_channels.
typedef struct PadChannelsArgs {
  const void* x;
  void* y;
  int64_t rows;
  int32_t x_channels;
  int32_t y_channels;
  int32_t element;
} PadChannelsArgs;
int calotype_pad_channels(const PadChannelsArgs* args, cudaStream_t stream);

// y[i] = table[index[i] + i * table_stride], rows of `channels`; an index past the end takes the nearest row.
typedef struct GatherRowsArgs {
  const void* table;
  const int32_t* index;
  void* y;
  int64_t rows;
  int32_t channels;
  int32_t table_rows;
  int32_t table_stride;
  int32_t element;
} GatherRowsArgs;
int calotype_gather_rows(const GatherRowsArgs* args, cudaStream_t stream);

// y[token] = table[ids[token]] + positions[token % tokens]; positions may be null.
typedef struct EmbedTokensArgs {
  const int32_t* ids;
  const void* table;
  const void* positions;
  void* y;
  int64_t rows;
  int32_t tokens;
  int32_t channels;
  int32_t table_rows;
  int32_t element;
} EmbedTokensArgs;
int calotype_embed_tokens(const EmbedTokensArgs* args, cudaStream_t stream);

// Mean over the positions of an image, channel by channel.
typedef struct PoolMeanArgs {
  const void* x;
  void* y;
  int32_t images;
  int32_t positions;
  int32_t channels;
  int32_t element;
} PoolMeanArgs;
int calotype_pool_mean(const PoolMeanArgs* args, cudaStream_t stream);

// Nearest neighbour; the scales are source over output sizes, rounded to f32 as torch does.
typedef struct UpsampleNearestArgs {
  const void* x;
  void* y;
  int32_t images;
  int32_t height;
  int32_t width;
  int32_t out_height;
  int32_t out_width;
  int32_t channels;
  float scale_y;
  float scale_x;
  int32_t element;
} UpsampleNearestArgs;
int calotype_upsample_nearest(const UpsampleNearestArgs* args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
