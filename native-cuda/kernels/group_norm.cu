/**
 * @file Group normalisation over NHWC.
 *
 * Channels are cut into slices of whole groups and whole 16-byte vectors. A thread stays with one vector of the slice
 * and walks down the pixels, so it needs one scale and shift a channel and each warp reads whole sectors.
 * Where the image stays in the cache, a cluster of blocks does a slice in one launch: sums, an exchange of the groups'
 * sums through shared memory, and the result, the first pixels of each thread never leaving its registers.
 * Larger images take two launches; the second adds up what the first left in scratch, in a fixed order.
 * Sums and sums of squares are in f32 about zero, as halves allow: 1e-6 * (1 + mean^2 / variance) of the variance.
 *
 * Ladder (H100, two images, 4096 pixels of 320 channels, us; torch 28): one block a multiprocessor 17; a warp a group's
 * sum, a barrier without fence 15; 64 registers a thread, so that clusters of eight need no second wave, 12.
 */
#include "group_norm.h"

#include <algorithm>

#include "launch.h"
#include "lib/element.cuh"
#include "math.cuh"
#include "ptx.cuh"

namespace calotype {
namespace {

constexpr int kThreads = 512;
constexpr int kKept = 6;          // vectors of a thread that stay in registers between sums and result
constexpr int kMostVectors = 32;  // of a slice
constexpr int kMostGroups = 256;  // of a slice

template <class T>
struct GroupNormParameters {
  const T *x, *x2, *weight, *bias;
  T *out;
  /** [batch, blocks, groups] of (sum, sum of squares) */
  float2 *partial;
  int pixels, channels, channels2, groups, groupWidth, sliceVectors, slices, blocks;
  float eps;
  int activation;
};

/** What a thread works on: one vector of eight channels, every `step`th pixel from `first` to `end`. */
struct Lane {
  const uint4 *from;
  size_t fromStride;
  uint4 *to;
  size_t toStride;
  int channel, first, end, step;
};

template <class T>
__device__ __forceinline__ Lane lane_of(const GroupNormParameters<T> &p, int image, int slice, int block) {
  Lane lane;
  const int vector = threadIdx.x % p.sliceVectors;
  lane.step = kThreads / p.sliceVectors;
  lane.channel = (slice * p.sliceVectors + vector) * 8;
  const int perBlock = ceil_div(p.pixels, p.blocks), row = threadIdx.x / p.sliceVectors;
  lane.end = min(p.pixels, (block + 1) * perBlock);
  lane.first = row < lane.step ? block * perBlock + row : lane.end;
  const bool second = lane.channel >= p.channels;
  const int width = second ? p.channels2 : p.channels, all = p.channels + p.channels2;
  const T *source = second ? p.x2 + (lane.channel - p.channels) : p.x + lane.channel;
  lane.from = reinterpret_cast<const uint4 *>(source + size_t(image) * p.pixels * width);
  lane.fromStride = width / 8;
  lane.to = reinterpret_cast<uint4 *>(p.out + size_t(image) * p.pixels * all + lane.channel);
  lane.toStride = all / 8;
  return lane;
}

struct Shared {
  float sums[kThreads * 16];
  float columns[kThreads * 2];
  float2 group[kMostGroups];
  float2 moments[kMostGroups];
};

template <class T>
__device__ __forceinline__ void accumulate(const uint4 &elements, float (&sum)[16]) {
  float v[8];
  unpack<T>(elements, v);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    sum[i] += v[i];
    sum[8 + i] = fmaf(v[i], v[i], sum[8 + i]);
  }
}

__device__ __forceinline__ float2 warp_sum(float2 x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    x.x += __shfl_xor_sync(~0u, x.x, step);
    x.y += __shfl_xor_sync(~0u, x.y, step);
  }
  return x;
}

/** Leaves the sums of this block's pixels, of each group of the slice, in `shared.group`. */
template <class T>
__device__ void sum_groups(const GroupNormParameters<T> &p, const Lane &lane, uint4 (&kept)[kKept], Shared &shared) {
  float sum[16] = {};
#pragma unroll
  for (int i = 0; i < kKept; i++) {
    const int pixel = lane.first + i * lane.step;
    kept[i] = pixel < lane.end ? lane.from[pixel * lane.fromStride] : make_uint4(0, 0, 0, 0);
  }
#pragma unroll
  for (int i = 0; i < kKept; i++) accumulate<T>(kept[i], sum);
#pragma unroll 4
  for (int pixel = lane.first + kKept * lane.step; pixel < lane.end; pixel += lane.step)
    accumulate<T>(lane.from[pixel * lane.fromStride], sum);

  // Sums of all threads of a vector: by columns, in as many parts as there are threads for, then the parts.
  const int columns = p.sliceVectors * 16, rows = lane.step, parts = min(rows, kThreads * 2 / columns);
  if (threadIdx.x < rows * p.sliceVectors)
#pragma unroll
    for (int i = 0; i < 16; i++)
      shared.sums[(threadIdx.x / p.sliceVectors) * columns + i * p.sliceVectors + threadIdx.x % p.sliceVectors] = sum[i];
  __syncthreads();
  for (int i = threadIdx.x; i < parts * columns; i += kThreads) {
    const int part = i / columns, column = i - part * columns;
    float total = 0.0f;
    for (int row = part; row < rows; row += parts) total += shared.sums[row * columns + column];
    shared.columns[i] = total;
  }
  __syncthreads();
  for (int column = threadIdx.x; column < columns; column += kThreads) {
    float total = 0.0f;
    for (int part = 0; part < parts; part++) total += shared.columns[part * columns + column];
    shared.sums[column] = total;
  }
  __syncthreads();
  // A warp a group.
  const int groups = p.sliceVectors * 8 / p.groupWidth;
  for (int group = threadIdx.x / 32; group < groups; group += kThreads / 32) {
    float2 total = make_float2(0.0f, 0.0f);
    for (int i = threadIdx.x % 32; i < p.groupWidth; i += 32) {
      const int channel = group * p.groupWidth + i, column = channel % 8 * p.sliceVectors + channel / 8;
      total.x += shared.sums[column];
      total.y += shared.sums[8 * p.sliceVectors + column];
    }
    total = warp_sum(total);
    if (threadIdx.x % 32 == 0) shared.group[group] = total;
  }
}

/** A group's mean and reciprocal deviation. */
template <class T>
__device__ __forceinline__ float2 moments_of(const GroupNormParameters<T> &p, float2 total) {
  const float count = float(p.pixels) * p.groupWidth, mean = total.x / count;
  return make_float2(mean, rsqrtf(fmaxf(total.y / count - mean * mean, 0.0f) + p.eps));
}

/** Normalises this thread's pixels by `shared.moments`; the first of them come from `kept` if `HasKept`. */
template <bool HasKept, class T>
__device__ void apply(const GroupNormParameters<T> &p, const Lane &lane, int slice, const uint4 (&kept)[kKept],
                      const Shared &shared) {
  float scale[8], shift[8];
  unpack<T>(__ldg(reinterpret_cast<const uint4 *>(p.weight + lane.channel)), scale);
  unpack<T>(__ldg(reinterpret_cast<const uint4 *>(p.bias + lane.channel)), shift);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const float2 moments = shared.moments[(lane.channel - slice * p.sliceVectors * 8 + i) / p.groupWidth];
    scale[i] *= moments.y;
    shift[i] -= moments.x * scale[i];
  }
  const auto store = [&](int pixel, const uint4 &elements) {
    float v[8];
    unpack<T>(elements, v);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = fmaf(v[i], scale[i], shift[i]);
    activate(v, p.activation);
    lane.to[pixel * lane.toStride] = pack<T>(v);
  };
  int next = lane.first;
  if constexpr (HasKept) {
#pragma unroll
    for (int i = 0; i < kKept; i++)
      if (lane.first + i * lane.step < lane.end) store(lane.first + i * lane.step, kept[i]);
    next += kKept * lane.step;
  }
#pragma unroll 4
  for (int pixel = next; pixel < lane.end; pixel += lane.step) store(pixel, lane.from[pixel * lane.fromStride]);
}

/** One launch: a cluster is (image, slice), its blocks share the pixels. */
template <class T>
__global__ void __launch_bounds__(kThreads, 2) group_norm_cluster_kernel(const __grid_constant__ GroupNormParameters<T> p) {
#if __CUDA_ARCH__ >= 900
  __shared__ Shared shared;
  const int block = blockIdx.x % p.blocks, slice = blockIdx.x / p.blocks % p.slices;
  const int image = blockIdx.x / (p.blocks * p.slices);
  wait_for_previous_kernel();
  allow_next_kernel();
  const Lane lane = lane_of(p, image, slice, block);
  uint4 kept[kKept];
  sum_groups(p, lane, kept, shared);
  cluster_sync();
  const int groups = p.sliceVectors * 8 / p.groupWidth;
  for (int group = threadIdx.x; group < groups; group += kThreads) {
    float2 total = make_float2(0.0f, 0.0f);
    for (int other = 0; other < p.blocks; other++) {
      const float2 part = load_pair_from_block(shared_address(&shared.group[group]), other);
      total.x += part.x;
      total.y += part.y;
    }
    shared.moments[group] = moments_of(p, total);
  }
  cluster_arrive_relaxed();
  __syncthreads();
  apply<true>(p, lane, slice, kept, shared);
  // A block's sums stay in place until all have read them.
  cluster_wait();
#endif
}

/** First of two launches: a block is (image, slice, range of pixels). */
template <class T>
__global__ void __launch_bounds__(kThreads, 2) group_norm_sums_kernel(const __grid_constant__ GroupNormParameters<T> p) {
  __shared__ Shared shared;
  const int block = blockIdx.x % p.blocks, slice = blockIdx.x / p.blocks % p.slices;
  const int image = blockIdx.x / (p.blocks * p.slices);
  wait_for_previous_kernel();
  allow_next_kernel();
  uint4 kept[kKept];
  sum_groups(p, lane_of(p, image, slice, block), kept, shared);
  __syncthreads();
  const int groups = p.sliceVectors * 8 / p.groupWidth;
  for (int group = threadIdx.x; group < groups; group += kThreads)
    p.partial[(size_t(image) * p.blocks + block) * p.groups + slice * groups + group] = shared.group[group];
}

/** Second: the same blocks, in the opposite order, so that what the first read last is still in the cache. */
template <class T>
__global__ void __launch_bounds__(kThreads, 2) group_norm_apply_kernel(const __grid_constant__ GroupNormParameters<T> p) {
  __shared__ Shared shared;
  const int index = gridDim.x - 1 - blockIdx.x;
  const int block = index % p.blocks, slice = index / p.blocks % p.slices, image = index / (p.blocks * p.slices);
  wait_for_previous_kernel();
  allow_next_kernel();
  const int groups = p.sliceVectors * 8 / p.groupWidth, warp = threadIdx.x / 32, thread = threadIdx.x % 32;
  for (int group = warp; group < groups; group += kThreads / 32) {
    float2 total = make_float2(0.0f, 0.0f);
    for (int other = thread; other < p.blocks; other += 32) {
      const float2 part = p.partial[(size_t(image) * p.blocks + other) * p.groups + slice * groups + group];
      total.x += part.x;
      total.y += part.y;
    }
    total = warp_sum(total);
    if (thread == 0) shared.moments[group] = moments_of(p, total);
  }
  __syncthreads();
  const uint4 none[kKept] = {};
  apply<false>(p, lane_of(p, image, slice, block), slice, none, shared);
}

int greatest_common_divisor(int a, int b) { return b ? greatest_common_divisor(b, a % b) : a; }

/** Vectors of the smallest slice of whole groups and vectors that is at least `wanted` and divides all; 0 if none. */
int slice_vectors(int vectors, int groupWidth, int wanted) {
  const int unit = groupWidth / greatest_common_divisor(groupWidth, 8);
  for (int slice = unit; slice <= std::min(vectors, kMostVectors); slice += unit)
    if (vectors % slice == 0 && (slice >= wanted || slice == vectors || slice + unit > kMostVectors)) return slice;
  return 0;
}

struct Division {
  int vectors, slices, blocks;
  bool isOneLaunch;
};

/** How the work is cut on this device; vectors is 0 for shapes that are not supported. */
Division divide(const CalotypeGroupNormArgs &a) {
  const int channels = a.channels + a.channels2, groupWidth = channels / a.groups;
  Division d = {};
  const int64_t bytes = int64_t(a.batch) * a.pixels * channels * 2;
  // Reading twice is cheap as long as input and output stay in the 50 MB of cache.
  d.isOneLaunch = is_hopper() && bytes <= (int64_t(24) << 20);
  d.vectors = slice_vectors(channels / 8, groupWidth, d.isOneLaunch ? 4 : 16);
  if (!d.vectors || d.vectors * 8 / groupWidth > kMostGroups) return Division{};
  d.slices = channels / 8 / d.vectors;
  const int rows = kThreads / d.vectors;
  if (d.isOneLaunch) {
    d.blocks = 1;
    const auto halved = [&] { return a.batch * d.slices * d.blocks * 2; };
    while (d.blocks < 8 && halved() <= multiprocessors() && a.pixels > d.blocks * rows) d.blocks *= 2;
    // Two blocks share a multiprocessor where a thread has more pixels than it keeps.
    while (d.blocks < 16 && halved() <= 2 * multiprocessors() && a.pixels > d.blocks * rows * kKept) d.blocks *= 2;
  } else {
    const int wanted = ceil_div(multiprocessors() * 4, a.batch * d.slices);
    d.blocks = std::max(1, std::min(wanted, ceil_div(a.pixels, rows * 4)));
  }
  return d;
}

template <class T>
int run(const CalotypeGroupNormArgs &a, const Division &d, cudaStream_t stream) {
  GroupNormParameters<T> p;
  p.x = static_cast<const T *>(a.x);
  p.x2 = static_cast<const T *>(a.x2);
  p.weight = static_cast<const T *>(a.weight);
  p.bias = static_cast<const T *>(a.bias);
  p.out = static_cast<T *>(a.out);
  p.partial = static_cast<float2 *>(a.scratch);
  p.pixels = a.pixels;
  p.channels = a.channels;
  p.channels2 = a.channels2;
  p.groups = a.groups;
  p.groupWidth = (a.channels + a.channels2) / a.groups;
  p.sliceVectors = d.vectors;
  p.slices = d.slices;
  p.blocks = d.blocks;
  p.eps = a.eps;
  p.activation = a.activation;
  LaunchShape shape;
  shape.blocks = a.batch * d.slices * d.blocks;
  shape.threads = kThreads;
  if (d.isOneLaunch) {
    shape.cluster = d.blocks;
    return launch(group_norm_cluster_kernel<T>, shape, a.flags, stream, p);
  }
  const int status = launch(group_norm_sums_kernel<T>, shape, a.flags, stream, p);
  return status ? status : launch(group_norm_apply_kernel<T>, shape, a.flags, stream, p);
}

}  // namespace
}  // namespace calotype

using namespace calotype;

extern "C" int64_t calotype_group_norm_scratch(const CalotypeGroupNormArgs *args) {
  if (args->groups < 1 || args->channels < 1) return 0;
  const Division d = divide(*args);
  if (!d.vectors || d.isOneLaunch) return 0;
  return int64_t(args->batch) * d.blocks * args->groups * sizeof(float2);
}

extern "C" int calotype_group_norm(const CalotypeGroupNormArgs *args, cudaStream_t stream) {
  const CalotypeGroupNormArgs &a = *args;
  const int channels = a.channels + a.channels2;
  if (a.batch < 1 || a.pixels < 1 || a.channels < 1 || a.groups < 1 || channels % a.groups) return CALOTYPE_INVALID;
  if (a.channels % 8 || a.channels2 % 8 || (a.activation != CALOTYPE_NONE && a.activation != CALOTYPE_SILU))
    return CALOTYPE_UNSUPPORTED;
  const Division d = divide(a);
  if (!d.vectors) return CALOTYPE_UNSUPPORTED;
  if (!d.isOneLaunch && !a.scratch) return CALOTYPE_INVALID;
  return by_narrow_type(a.element, [&](auto zero) { return run<decltype(zero)>(a, d, stream); });
}
