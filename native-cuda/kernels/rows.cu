// Moving rows: a thread moves 16 bytes, or one element where rows are not multiples of that.
#include "rows.h"

#include "lib/element.cuh"

namespace {

constexpr int THREADS = 256;

template <class T, int N>
__global__ void copy_channels_kernel(CopyChannelsArgs args) {
  const int64_t at = global_thread() * N;
  if (at >= args.rows * args.channels) return;
  const int64_t row = at / args.channels;
  const int64_t channel = at % args.channels;
  const auto x = load_pack<T, N>(args.x, row * args.x_channels + args.x_first + channel);
  store_pack(args.y, row * args.y_channels + args.y_first + channel, x);
}

template <class T>
__global__ void pad_channels_kernel(PadChannelsArgs args) {
  const int64_t at = global_thread();
  if (at >= args.rows * args.y_channels) return;
  const int64_t row = at / args.y_channels, channel = at % args.y_channels;
  static_cast<T*>(args.y)[at] = channel < args.x_channels ? static_cast<const T*>(args.x)[row * args.x_channels + channel]
                                                          : from_float<T>(0.0f);
}

template <class T, int N>
__global__ void gather_rows_kernel(GatherRowsArgs args) {
  const int64_t at = global_thread() * N;
  if (at >= args.rows * args.channels) return;
  const int64_t row = at / args.channels;
  const int64_t from = min(max(args.index[row], 0), args.table_rows - 1) + row * args.table_stride;
  store_pack(args.y, at, load_pack<T, N>(args.table, from * args.channels + at % args.channels));
}

template <class T, int N>
__global__ void embed_tokens_kernel(EmbedTokensArgs args) {
  const int64_t at = global_thread() * N;
  if (at >= args.rows * args.channels) return;
  const int64_t token = at / args.channels;
  const int64_t channel = at % args.channels;
  const int64_t id = min(max(args.ids[token], 0), args.table_rows - 1);
  auto x = load_pack<T, N>(args.table, id * args.channels + channel);
  if (args.positions) {
    const auto position = load_pack<T, N>(args.positions, token % args.tokens * args.channels + channel);
    for (int i = 0; i < N; i++) x.at[i] = from_float<T>(to_float(x.at[i]) + to_float(position.at[i]));
  }
  store_pack(args.y, at, x);
}

// torch computes the index in f32.
__device__ int source_index(int to, float scale, int size) {
  return min(static_cast<int>(floorf(__fmul_rn(static_cast<float>(to), scale))), size - 1);
}

template <class T, int N>
__global__ void upsample_nearest_kernel(UpsampleNearestArgs args) {
  const int64_t pixels = static_cast<int64_t>(args.images) * args.out_height * args.out_width;
  const int64_t at = global_thread() * N;
  if (at >= pixels * args.channels) return;
  const int64_t pixel = at / args.channels;
  const int64_t image = pixel / (static_cast<int64_t>(args.out_height) * args.out_width);
  const int row = source_index(static_cast<int>(pixel / args.out_width % args.out_height), args.scale_y, args.height);
  const int column = source_index(static_cast<int>(pixel % args.out_width), args.scale_x, args.width);
  const int64_t from = (image * args.height + row) * args.width + column;
  store_pack(args.y, at, load_pack<T, N>(args.x, from * args.channels + at % args.channels));
}

// A block does 32 channels of an image: its rows of threads take turns at the positions, and the first adds up.
constexpr int POOL_CHANNELS = 32;
constexpr int POOL_ROWS = 8;

template <class T>
__global__ void pool_mean_kernel(PoolMeanArgs args) {
  __shared__ float sums[POOL_ROWS][POOL_CHANNELS];
  const int64_t image = blockIdx.y;
  const int channel = blockIdx.x * POOL_CHANNELS + threadIdx.x;
  float sum = 0;
  if (channel < args.channels)
    for (int position = threadIdx.y; position < args.positions; position += POOL_ROWS)
      sum += load_float<T>(args.x, (image * args.positions + position) * args.channels + channel);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || channel >= args.channels) return;
  for (int row = 1; row < POOL_ROWS; row++) sum += sums[row][threadIdx.x];
  static_cast<T*>(args.y)[image * args.channels + channel] = from_float<T>(sum / args.positions);
}

}  // namespace

int calotype_copy_channels(const CopyChannelsArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) {
          const int64_t items = args->rows * args->channels / n;
          copy_channels_kernel<T, n><<<blocks_for(items, THREADS), THREADS, 0, stream>>>(*args);
        },
        args->channels, args->x_channels, args->x_first, args->y_channels, args->y_first);
  });
  return cudaGetLastError();
}

int calotype_pad_channels(const PadChannelsArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    const int64_t items = args->rows * args->y_channels;
    pad_channels_kernel<decltype(zero)><<<blocks_for(items, THREADS), THREADS, 0, stream>>>(*args);
  });
  return cudaGetLastError();
}

int calotype_gather_rows(const GatherRowsArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) {
          const int64_t items = args->rows * args->channels / n;
          gather_rows_kernel<T, n><<<blocks_for(items, THREADS), THREADS, 0, stream>>>(*args);
        },
        args->channels);
  });
  return cudaGetLastError();
}

int calotype_embed_tokens(const EmbedTokensArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) {
          const int64_t items = args->rows * args->channels / n;
          embed_tokens_kernel<T, n><<<blocks_for(items, THREADS), THREADS, 0, stream>>>(*args);
        },
        args->channels);
  });
  return cudaGetLastError();
}

int calotype_pool_mean(const PoolMeanArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    const dim3 blocks(blocks_for(args->channels, POOL_CHANNELS), args->images);
    pool_mean_kernel<decltype(zero)><<<blocks, dim3(POOL_CHANNELS, POOL_ROWS), 0, stream>>>(*args);
  });
  return cudaGetLastError();
}

int calotype_upsample_nearest(const UpsampleNearestArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) {
          const int64_t pixels = static_cast<int64_t>(args->images) * args->out_height * args->out_width;
          const int64_t items = pixels * args->channels / n;
          upsample_nearest_kernel<T, n><<<blocks_for(items, THREADS), THREADS, 0, stream>>>(*args);
        },
        args->channels);
  });
  return cudaGetLastError();
}
