// Group norm is two launches: moments of chunks of rows, then one pass over the value by blocks that each join the
// chunks' moments of their image for themselves. All sums are made in a fixed order, so results repeat bit for bit.
#include "norms.h"

#include "lib/activation.cuh"
#include "lib/element.cuh"

namespace {

constexpr int THREADS = 256;

// N neighbouring channels of a row of both sources; N divides both of their numbers of channels.
template <class T, int N>
__device__ Pack<T, N> load_channels(const NormSource& source, int64_t row, int channel) {
  return channel < source.channels1
             ? load_pack<T, N>(source.x, row * source.channels1 + channel)
             : load_pack<T, N>(source.x2, row * source.channels2 + channel - source.channels1);
}

template <class T>
__device__ float pivot_of(const NormSource& source, int image, int group) {
  const int channel = group * ((source.channels1 + source.channels2) / source.groups);
  return to_float(load_channels<T, 1>(source, image * source.image_rows, channel).at[0]);
}

// A block sums a chunk of rows of an image: each thread some channels of some rows, then each group is joined by one thread.
template <class T, int N>
__global__ void group_norm_moments_kernel(GroupNormMomentsArgs args) {
  extern __shared__ float2 sums[];
  const NormSource& source = args.source;
  const int channels = source.channels1 + source.channels2;
  const int group_channels = channels / source.groups;
  const int vectors = channels / N;
  const int width = min(vectors, static_cast<int>(blockDim.x));
  const int lanes = blockDim.x / width;
  const int lane = threadIdx.x / width;
  const int image = blockIdx.y;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * args.chunk_rows;
  const int64_t end = min(first + args.chunk_rows, source.image_rows);
  if (lane < lanes)
    for (int vector = threadIdx.x % width; vector < vectors; vector += width) {
      float pivot[N];
      float2 sum[N];
      for (int i = 0; i < N; i++) {
        pivot[i] = pivot_of<T>(source, image, (vector * N + i) / group_channels);
        sum[i] = make_float2(0.0f, 0.0f);
      }
      for (int64_t row = first + lane; row < end; row += lanes) {
        const auto x = load_channels<T, N>(source, image * source.image_rows + row, vector * N);
        for (int i = 0; i < N; i++) {
          const float difference = to_float(x.at[i]) - pivot[i];
          sum[i].x += difference;
          sum[i].y = fmaf(difference, difference, sum[i].y);
        }
      }
      for (int i = 0; i < N; i++) sums[lane * channels + vector * N + i] = sum[i];
    }
  __syncthreads();
  for (int group = threadIdx.x; group < source.groups; group += blockDim.x) {
    float2 total = make_float2(0.0f, 0.0f);
    for (int l = 0; l < lanes; l++)
      for (int channel = group * group_channels; channel < (group + 1) * group_channels; channel++) {
        total.x += sums[l * channels + channel].x;
        total.y += sums[l * channels + channel].y;
      }
    const int64_t to = (static_cast<int64_t>(image) * args.chunks + blockIdx.x) * source.groups + group;
    reinterpret_cast<float2*>(args.partials)[to] = total;
  }
}

struct Moments {
  float count;
  float mean;
  float squares;
};

template <class T>
__device__ Moments join_partials(const NormSource& source, const float* partials, int chunks, int image, int group) {
  const float2* at = reinterpret_cast<const float2*>(partials) + static_cast<int64_t>(image) * chunks * source.groups;
  float2 total = make_float2(0.0f, 0.0f);
  for (int chunk = 0; chunk < chunks; chunk++) {
    const float2 partial = at[chunk * source.groups + group];
    total.x += partial.x;
    total.y += partial.y;
  }
  const int group_channels = (source.channels1 + source.channels2) / source.groups;
  const float count = static_cast<float>(source.image_rows * group_channels);
  const float shift = total.x / count;
  return {count, pivot_of<T>(source, image, group) + shift, fmaxf(total.y - total.x * shift, 0.0f)};
}

template <class T>
__global__ void group_norm_statistics_kernel(GroupNormStatisticsArgs args) {
  const NormSource& source = args.source;
  const int64_t at = global_thread();
  if (at >= static_cast<int64_t>(source.images) * source.groups) return;
  const int image = static_cast<int>(at / source.groups);
  const int group = static_cast<int>(at % source.groups);
  const Moments own = join_partials<T>(source, args.partials, args.chunks, image, group);
  Moments before = {0.0f, 0.0f, 0.0f};
  if (args.previous) before = reinterpret_cast<const Moments*>(args.previous)[at];
  const float total = before.count + own.count;
  const float difference = own.mean - before.mean;
  const float share = own.count / total;
  reinterpret_cast<Moments*>(args.y)[at] = {
      total,
      before.mean + difference * share,
      before.squares + own.squares + difference * difference * before.count * share,
  };
}

// Vectors that a thread of the apply kernel normalises.
constexpr int THREAD_VECTORS = 4;

template <class T, int N>
__global__ void group_norm_apply_kernel(GroupNormApplyArgs args) {
  extern __shared__ float2 scales[];
  const NormSource& source = args.source;
  const int image = blockIdx.y;
  for (int group = threadIdx.x; group < source.groups; group += blockDim.x) {
    const Moments moments =
        args.chunks > 0
            ? join_partials<T>(source, args.partials, args.chunks, image, group)
            : reinterpret_cast<const Moments*>(args.statistics)[static_cast<int64_t>(image) * source.groups + group];
    scales[group] = make_float2(moments.mean, 1.0f / sqrtf(moments.squares / moments.count + args.eps));
  }
  __syncthreads();
  const int channels = source.channels1 + source.channels2;
  const int group_channels = channels / source.groups;
  const int64_t image_vectors = source.image_rows * channels / N;
  for (int i = 0; i < THREAD_VECTORS; i++) {
    const int64_t at = ((static_cast<int64_t>(blockIdx.x) * THREAD_VECTORS + i) * THREADS + threadIdx.x);
    if (at >= image_vectors) return;
    const int64_t row = image * source.image_rows + at * N / channels;
    const int channel = static_cast<int>(at * N % channels);
    auto x = load_channels<T, N>(source, row, channel);
    const auto weight = load_pack<T, N>(args.weight, channel);
    const auto bias = load_pack<T, N>(args.bias, channel);
    for (int j = 0; j < N; j++) {
      const float2 scale = scales[(channel + j) / group_channels];
      const float normal = (to_float(x.at[j]) - scale.x) * scale.y;
      x.at[j] = from_float<T>(activate<Exact>(fmaf(normal, to_float(weight.at[j]), to_float(bias.at[j])), args.activation));
    }
    store_pack(args.y, row * channels + channel, x);
  }
}

}  // namespace

int calotype_group_norm_moments(const GroupNormMomentsArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    const NormSource& source = args->source;
    by_width<T>(
        [&](auto n) {
          const int channels = source.channels1 + source.channels2;
          const int vectors = channels / n;
          const int lanes = vectors < THREADS ? THREADS / vectors : 1;
          const size_t shared = sizeof(float2) * lanes * channels;
          const dim3 grid(args->chunks, source.images);
          group_norm_moments_kernel<T, n><<<grid, THREADS, shared, stream>>>(*args);
        },
        source.channels1, source.channels2);
  });
  return cudaGetLastError();
}

int calotype_group_norm_statistics(const GroupNormStatisticsArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    const int64_t items = static_cast<int64_t>(args->source.images) * args->source.groups;
    group_norm_statistics_kernel<decltype(zero)><<<blocks_for(items, THREADS), THREADS, 0, stream>>>(*args);
  });
  return cudaGetLastError();
}

int calotype_group_norm_apply(const GroupNormApplyArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    const NormSource& source = args->source;
    by_width<T>(
        [&](auto n) {
          const int64_t vectors = source.image_rows * (source.channels1 + source.channels2) / n;
          const dim3 grid(blocks_for(vectors, THREADS * THREAD_VECTORS), source.images);
          const size_t shared = sizeof(float2) * source.groups;
          group_norm_apply_kernel<T, n><<<grid, THREADS, shared, stream>>>(*args);
        },
        source.channels1, source.channels2);
  });
  return cudaGetLastError();
}
