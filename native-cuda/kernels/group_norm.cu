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
 * sum, a barrier without fence 15; 64 registers a thread, so that clusters of eight need no second wave, 12. Then of the
 * networks, ms: two sums a thread in place of sixteen, half the code, factors asked for ahead: a VAE of SD 1.5 from
 * 5.35 to 5.07; slices of whole lines of the cache: 4.80, and its step from 5.82 to 5.78.
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
constexpr int kLater = 3;         // vectors that a thread of the second launch asks for at a time
constexpr int kWantedVectors = 8;  // of a slice, at least: the 128 bytes of a line of the cache
constexpr int kMostVectors = 32;  // of a slice
constexpr int kMostGroups = 64;   // of a slice
constexpr int kMostBlocks = 16;   // of a cluster

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
  uint4 *to;
  /** From pixel to pixel. */
  int fromStride, toStride;
  int first, end, step;
  /** The group of its first channel, of those of the slice, and how many of its channels belong to it; the others are the next one's. */
  int group, split;
  /** The group's and the next one's factors and terms. */
  uint4 weight, bias;
};

template <class T>
__device__ __forceinline__ Lane lane_of(const GroupNormParameters<T> &p, int image, int slice, int block) {
  Lane lane;
  const int row = threadIdx.x / p.sliceVectors, inSlice = (threadIdx.x - row * p.sliceVectors) * 8;
  const int channel = slice * p.sliceVectors * 8 + inSlice, perBlock = ceil_div(p.pixels, p.blocks);
  lane.step = kThreads / p.sliceVectors;
  lane.end = min(p.pixels, (block + 1) * perBlock);
  lane.first = row < lane.step ? block * perBlock + row : lane.end;
  lane.group = inSlice / p.groupWidth;
  lane.split = (lane.group + 1) * p.groupWidth - inSlice;
  const bool second = channel >= p.channels;
  const int width = second ? p.channels2 : p.channels, all = p.channels + p.channels2;
  const T *source = second ? p.x2 + (channel - p.channels) : p.x + channel;
  lane.from = reinterpret_cast<const uint4 *>(source + size_t(image) * p.pixels * width);
  lane.fromStride = width / 8;
  lane.to = reinterpret_cast<uint4 *>(p.out + size_t(image) * p.pixels * all + channel);
  lane.toStride = all / 8;
  // Before the kernel ahead has ended: nothing in a graph writes them.
  lane.weight = __ldg(reinterpret_cast<const uint4 *>(p.weight + channel));
  lane.bias = __ldg(reinterpret_cast<const uint4 *>(p.bias + channel));
  return lane;
}

struct Shared {
  /** Of each thread: sums and sums of squares of its first group and of its second. */
  float2 sums[kThreads][2];
  /** Of the blocks of a cluster. */
  float2 parts[kMostBlocks][kMostGroups];
  float2 moments[kMostGroups + 1];
};

/** Asks for pixels from `pixel` on; zeros beyond the last. */
template <int Count>
__device__ __forceinline__ void load(const Lane &lane, int pixel, uint4 (&vectors)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; i++) {
    const int at = pixel + i * lane.step;
    vectors[i] = at < lane.end ? lane.from[at * lane.fromStride] : make_uint4(0, 0, 0, 0);
  }
}

template <class T, int Count>
__device__ __forceinline__ void accumulate(const uint4 (&vectors)[Count], float (&sum)[16]) {
#pragma unroll
  for (int k = 0; k < Count; k++) {
    float v[8];
    unpack<T>(vectors[k], v);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      sum[i] += v[i];
      sum[8 + i] = fmaf(v[i], v[i], sum[8 + i]);
    }
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

/**
 * Hands the sums of this block's pixels to `use`, of each group of the slice by a warp of its own. The first pixels stay in
 * `kept`; the others come `More` at a time.
 */
template <int More, class T, class Use>
__device__ __forceinline__ void sum_groups(const GroupNormParameters<T> &p, const Lane &lane, uint4 (&kept)[kKept], Shared &shared,
                                           Use use) {
  float sum[16] = {};
  load(lane, lane.first, kept);
  accumulate<T>(kept, sum);
  for (int pixel = lane.first + kKept * lane.step; pixel < lane.end; pixel += More * lane.step) {
    uint4 more[More];
    load(lane, pixel, more);
    accumulate<T>(more, sum);
  }
  float2 first = make_float2(0.0f, 0.0f), second = first;
#pragma unroll
  for (int i = 0; i < 8; i++) {
    float2 &to = i < lane.split ? first : second;
    to.x += sum[i], to.y += sum[8 + i];
  }
  shared.sums[threadIdx.x][0] = first;
  shared.sums[threadIdx.x][1] = second;
  __syncthreads();
  const int groups = p.sliceVectors * 8 / p.groupWidth, thread = threadIdx.x % 32;
  for (int group = threadIdx.x / 32; group < groups; group += kThreads / 32) {
    const int begin = group * p.groupWidth, end = begin + p.groupWidth;
    float2 total = make_float2(0.0f, 0.0f);
    for (int vector = begin / 8; vector * 8 < end; vector++) {
      const float2 *column = &shared.sums[vector][vector * 8 < begin];
      for (int row = thread; row < lane.step; row += 32) {
        const float2 part = column[row * p.sliceVectors * 2];
        total.x += part.x;
        total.y += part.y;
      }
    }
    use(group, warp_sum(total));
  }
}

/** A group's mean and reciprocal deviation. */
template <class T>
__device__ __forceinline__ float2 moments_of(const GroupNormParameters<T> &p, float2 total) {
  const float count = float(p.pixels) * p.groupWidth, mean = total.x / count;
  return make_float2(mean, rsqrtf(fmaxf(total.y / count - mean * mean, 0.0f) + p.eps));
}

/** Normalises this thread's pixels by `shared.moments`; `vectors` holds the first of them, and takes the others by turns. */
template <class T, int Count>
__device__ __forceinline__ void apply(const GroupNormParameters<T> &p, const Lane &lane, uint4 (&vectors)[Count], const Shared &shared) {
  float scale[8], shift[8];
  unpack<T>(lane.weight, scale);
  unpack<T>(lane.bias, shift);
  const float2 first = shared.moments[lane.group], second = shared.moments[lane.group + 1];
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const float2 moments = i < lane.split ? first : second;
    scale[i] *= moments.y;
    shift[i] -= moments.x * scale[i];
  }
  // All loads of a turn come before its stores, over which the compiler may not move them.
  for (int pixel = lane.first; pixel < lane.end; load(lane, pixel, vectors)) {
#pragma unroll
    for (int k = 0; k < Count; k++, pixel += lane.step) {
      float v[8];
      unpack<T>(vectors[k], v);
#pragma unroll
      for (int i = 0; i < 8; i++) v[i] = fmaf(v[i], scale[i], shift[i]);
      // Not `activate`: the code of the others would have to be fetched too.
      if (p.activation == CALOTYPE_SILU)
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] *= sigmoid<Quick>(v[i]);
      if (pixel < lane.end) lane.to[pixel * lane.toStride] = pack<T>(v);
    }
  }
}

/** One launch: a cluster is (image, slice), its blocks share the pixels. */
template <class T>
__global__ void __launch_bounds__(kThreads, 2) group_norm_cluster_kernel(const __grid_constant__ GroupNormParameters<T> p) {
#if __CUDA_ARCH__ >= 900
  __shared__ Shared shared;
  const int block = blockIdx.x % p.blocks, slice = blockIdx.x / p.blocks % p.slices;
  const int image = blockIdx.x / (p.blocks * p.slices);
  const Lane lane = lane_of(p, image, slice, block);
  // No block may be written to before it has begun.
  cluster_arrive_relaxed();
  wait_for_previous_kernel();
  allow_next_kernel();
  cluster_wait();
  uint4 kept[kKept];
  sum_groups<2>(p, lane, kept, shared, [&](int group, float2 total) {
    const int other = threadIdx.x % 32;
    if (other < p.blocks) store_pair_at(shared_address(&shared.parts[block][group]), other, total);
  });
  cluster_sync();
  const int groups = p.sliceVectors * 8 / p.groupWidth;
  for (int group = threadIdx.x; group < groups; group += kThreads) {
    float2 total = make_float2(0.0f, 0.0f);
    for (int other = 0; other < p.blocks; other++) {
      total.x += shared.parts[other][group].x;
      total.y += shared.parts[other][group].y;
    }
    shared.moments[group] = moments_of(p, total);
  }
  __syncthreads();
  apply<T>(p, lane, kept, shared);
#endif
}

/** First of two launches: a block is (image, slice, range of pixels). */
template <class T>
__global__ void __launch_bounds__(kThreads, 2) group_norm_sums_kernel(const __grid_constant__ GroupNormParameters<T> p) {
  __shared__ Shared shared;
  const int block = blockIdx.x % p.blocks, slice = blockIdx.x / p.blocks % p.slices;
  const int image = blockIdx.x / (p.blocks * p.slices);
  const Lane lane = lane_of(p, image, slice, block);
  wait_for_previous_kernel();
  allow_next_kernel();
  uint4 kept[kKept];
  float2 *partial = p.partial + (size_t(image) * p.blocks + block) * p.groups + slice * (p.sliceVectors * 8 / p.groupWidth);
  sum_groups<kKept>(p, lane, kept, shared, [&](int group, float2 total) {
    if (threadIdx.x % 32 == 0) partial[group] = total;
  });
}

/** Second: the same blocks, in the opposite order, so that what the first read last is still in the cache. */
template <class T>
__global__ void __launch_bounds__(kThreads, 2) group_norm_apply_kernel(const __grid_constant__ GroupNormParameters<T> p) {
  __shared__ Shared shared;
  const int index = gridDim.x - 1 - blockIdx.x;
  const int block = index % p.blocks, slice = index / p.blocks % p.slices, image = index / (p.blocks * p.slices);
  const Lane lane = lane_of(p, image, slice, block);
  wait_for_previous_kernel();
  allow_next_kernel();
  uint4 first[kLater];
  load(lane, lane.first, first);
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
  apply<T>(p, lane, first, shared);
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
  // A vector's channels are those of two groups at most.
  if (groupWidth + greatest_common_divisor(groupWidth, 8) < 8) return d;
  const int64_t bytes = int64_t(a.batch) * a.pixels * channels * 2;
  // Reading twice is cheap as long as input and output stay in the 50 MB of cache.
  d.isOneLaunch = is_hopper() && bytes <= (int64_t(24) << 20);
  d.vectors = slice_vectors(channels / 8, groupWidth, kWantedVectors);
  if (!d.vectors) return Division{};
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
