// Sampling: small kernels, an element a thread, that read their row of the coefficient table on the device.
#include "sampling.h"

#include "lib/element.cuh"
#include "lib/reduce.cuh"

namespace {

constexpr int THREADS = 256;

// Most state slots of a scheduler; src/kernels/guided-step.ts refuses more.
constexpr int MAX_SLOTS = 16;

__device__ const float* coefficient_row(const float* table, const int32_t* row, int64_t entry, int table_rows,
                                        int columns) {
  return table + static_cast<int64_t>(min(max(row[entry], 0), table_rows - 1)) * columns;
}

__device__ float weighted(const float* coefficients, const float* values, int slots) {
  float sum = 0.0f;
  for (int slot = 0; slot < slots; slot++) sum = fmaf(coefficients[slot], values[slot], sum);
  return sum;
}

template <class T>
__device__ float guide(const void* output, int64_t at, int64_t conditional, float scale) {
  const float uncond = load_float<T>(output, at);
  return fmaf(scale, load_float<T>(output, at + conditional) - uncond, uncond);
}

template <class T>
__global__ void model_input_kernel(ModelInputArgs args) {
  const int64_t to = global_thread();
  if (to >= args.copies * args.slot_elements) return;
  const int64_t at = to % args.slot_elements;
  const float* row =
      coefficient_row(args.coefficients, args.row, at / args.row_elements, args.table_rows, args.columns.count);
  float sum = 0.0f;
  for (int slot = 0; slot < args.slots; slot++)
    sum = fmaf(row[args.columns.input + slot], args.state[slot * args.slot_elements + at], sum);
  static_cast<T*>(args.y)[to] = from_float<T>(sum);
}

template <class T>
__global__ void timestep_embedding_kernel(TimestepEmbeddingArgs args) {
  const int64_t to = global_thread();
  const int channels = 2 * args.half_channels;
  if (to >= static_cast<int64_t>(args.count) * channels) return;
  const int channel = static_cast<int>(to % channels);
  const float angle = __fmul_rn(args.t[to / channels], args.frequencies[channel % args.half_channels]);
  const bool cosine = (channel < args.half_channels) == (args.cosines_first != 0);
  static_cast<T*>(args.y)[to] = from_float<T>(cosine ? cosf(angle) : sinf(angle));
}

// The unbiased variance of `count` values over a block, about their mean.
template <class Value>
__device__ float block_variance(int64_t count, float* shared, Value value) {
  float sum = 0.0f;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += value(i);
  const float mean = block_sum(sum, shared) / count;
  float squares = 0.0f;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    const float difference = value(i) - mean;
    squares = fmaf(difference, difference, squares);
  }
  return block_sum(squares, shared) / (count - 1);
}

template <class T>
__global__ void guidance_factor_kernel(GuidanceFactorArgs args) {
  __shared__ float shared[32];
  const float* row =
      coefficient_row(args.coefficients, args.row, blockIdx.x, args.table_rows, args.columns.count);
  const float scale = row[args.columns.guidance_scale];
  const float rescale = row[args.columns.guidance_rescale];
  const int64_t first = blockIdx.x * args.image_elements;
  const int64_t conditional = args.images * args.image_elements;
  const float cond = block_variance(args.image_elements, shared, [&](int64_t i) {
    return load_float<T>(args.output, first + conditional + i);
  });
  const float guided = block_variance(args.image_elements, shared, [&](int64_t i) {
    return guide<T>(args.output, first + i, conditional, scale);
  });
  if (threadIdx.x == 0) args.y[blockIdx.x] = rescale * sqrtf(cond) / sqrtf(guided) + 1.0f - rescale;
}

template <class T>
__global__ void guidance_kernel(GuidanceArgs args) {
  const int64_t at = global_thread();
  const int64_t count = args.images * args.image_elements;
  if (at >= count) return;
  const int64_t image = at / args.image_elements;
  const float* row = coefficient_row(args.coefficients, args.row, image, args.table_rows, args.columns.count);
  const float guided = guide<T>(args.output, at, count, row[args.columns.guidance_scale]);
  args.y[at] = args.factor ? args.factor[image] * guided : guided;
}

template <class T>
__global__ void guided_step_kernel(GuidedStepArgs args) {
  const int64_t at = global_thread();
  if (at >= args.slot_elements) return;
  const auto& columns = args.columns;
  const int slots = args.slots;
  const int64_t entry = at / args.row_elements;
  const float* row = coefficient_row(args.coefficients, args.row, entry, args.table_rows, columns.count);
  float output;
  if (args.guided) {
    output = guide<T>(args.output, at, args.slot_elements, row[columns.guidance_scale]);
    if (args.factor) output *= args.factor[entry];
  } else {
    output = load_float<T>(args.output, at);
  }
  float state[MAX_SLOTS];
  for (int slot = 0; slot < slots; slot++) state[slot] = args.state[slot * args.slot_elements + at];
  const float clip = row[columns.clip];
  const float denoised = fmaf(row[columns.x0_output], output, weighted(row + columns.x0_state, state, slots));
  const float x0 = fminf(fmaxf(denoised, -clip), clip);
  const float noise = args.noise ? args.noise[at] : 0.0f;
  for (int slot = 0; slot < slots; slot++) {
    float next = weighted(row + columns.next_state + slot * slots, state, slots);
    next = fmaf(row[columns.next_output + slot], output, next);
    next = fmaf(row[columns.next_x0 + slot], x0, next);
    if (args.noise) next = fmaf(row[columns.next_noise + slot], noise, next);
    args.y[slot * args.slot_elements + at] = next;
  }
}

}  // namespace

int calotype_model_input(const ModelInputArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    const unsigned blocks = blocks_for(args->copies * args->slot_elements, THREADS);
    model_input_kernel<decltype(zero)><<<blocks, THREADS, 0, stream>>>(*args);
  });
  return cudaGetLastError();
}

int calotype_timestep_embedding(const TimestepEmbeddingArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    const unsigned blocks = blocks_for(2LL * args->count * args->half_channels, THREADS);
    timestep_embedding_kernel<decltype(zero)><<<blocks, THREADS, 0, stream>>>(*args);
  });
  return cudaGetLastError();
}

int calotype_guidance_factor(const GuidanceFactorArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    guidance_factor_kernel<decltype(zero)><<<args->images, 1024, 0, stream>>>(*args);
  });
  return cudaGetLastError();
}

int calotype_guidance(const GuidanceArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    const unsigned blocks = blocks_for(args->images * args->image_elements, THREADS);
    guidance_kernel<decltype(zero)><<<blocks, THREADS, 0, stream>>>(*args);
  });
  return cudaGetLastError();
}

int calotype_guided_step(const GuidedStepArgs* args, cudaStream_t stream) {
  if (args->slots > MAX_SLOTS) return cudaErrorInvalidValue;
  by_type(args->element, [&](auto zero) {
    const unsigned blocks = blocks_for(args->slot_elements, THREADS);
    guided_step_kernel<decltype(zero)><<<blocks, THREADS, 0, stream>>>(*args);
  });
  return cudaGetLastError();
}
