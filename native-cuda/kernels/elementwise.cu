// Element-wise kernels: a thread computes 16 bytes of the output, or one element where rows are not multiples of that.
#include "elementwise.h"

#include "lib/activation.cuh"
#include "lib/element.cuh"

namespace {

constexpr int THREADS = 256;

template <class T, int N>
__global__ void activate_kernel(ActivateArgs args) {
  const int64_t at = global_thread() * N;
  if (at >= args.count) return;
  auto x = load_pack<T, N>(args.x, at);
  for (int i = 0; i < N; i++) x.at[i] = from_float<T>(activate<Exact>(to_float(x.at[i]), args.activation));
  store_pack(args.y, at, x);
}

template <class T, int N>
__global__ void add_kernel(AddArgs args) {
  const int64_t at = global_thread() * N;
  if (at >= args.count) return;
  auto a = load_pack<T, N>(args.a, at);
  const auto b = load_pack<T, N>(args.b, at);
  for (int i = 0; i < N; i++) a.at[i] = from_float<T>(to_float(a.at[i]) + to_float(b.at[i]));
  store_pack(args.y, at, a);
}

template <class T, int N>
__global__ void multiply_kernel(MultiplyArgs args) {
  const int64_t at = global_thread() * N;
  if (at >= args.count) return;
  auto a = load_pack<T, N>(args.a, at);
  const auto b = load_pack<T, N>(args.b, at);
  for (int i = 0; i < N; i++) a.at[i] = from_float<T>(to_float(a.at[i]) * to_float(b.at[i]));
  store_pack(args.y, at, a);
}

template <class T, int N>
__global__ void add_gated_kernel(AddGatedArgs args) {
  const int64_t at = global_thread() * N;
  if (at >= args.count) return;
  const int64_t column = args.gate + at % args.channels;
  auto x = load_pack<T, N>(args.x, at);
  const auto addend = load_pack<T, N>(args.addend, at);
  const auto modulation = load_pack<T, N>(args.modulation, at / args.image_elements * args.columns + column);
  const auto table = load_pack<T, N>(args.table, column);
  for (int i = 0; i < N; i++) {
    const float gate = to_float(modulation.at[i]) + to_float(table.at[i]);
    x.at[i] = from_float<T>(fmaf(gate, to_float(addend.at[i]), to_float(x.at[i])));
  }
  store_pack(args.y, at, x);
}

template <class T, int N>
__global__ void affine_kernel(AffineArgs args) {
  const int64_t at = global_thread() * N;
  if (at >= args.count) return;
  auto x = load_pack<T, N>(args.x, at);
  for (int i = 0; i < N; i++) x.at[i] = from_float<T>(fmaf(to_float(x.at[i]), args.scale, args.shift));
  store_pack(args.y, at, x);
}

template <class T, int N>
__global__ void add_vectors_kernel(AddVectorsArgs args) {
  const int64_t at = global_thread() * N;
  if (at >= args.count) return;
  const int image = static_cast<int>(at / args.image_elements);
  const int wanted = args.row_index ? args.row_index[image] : image;
  const int64_t row = min(max(wanted, 0), args.table_rows - 1);
  auto x = load_pack<T, N>(args.x, at);
  const auto vector = load_pack<T, N>(args.table, row * args.channels + at % args.channels);
  for (int i = 0; i < N; i++) x.at[i] = from_float<T>(to_float(x.at[i]) + to_float(vector.at[i]));
  store_pack(args.y, at, x);
}

template <class T, int N>
__global__ void add_scaled_kernel(AddScaledArgs args) {
  const int64_t at = global_thread() * N;
  if (at >= args.count) return;
  const int64_t image = at / args.image_elements;
  const float scale = args.scale[image * args.columns + args.column];
  auto x = load_pack<T, N>(args.x, at);
  const auto addend = load_pack<T, N>(args.addend, args.vectors ? image * args.channels + at % args.channels : at);
  for (int i = 0; i < N; i++) x.at[i] = from_float<T>(fmaf(scale, to_float(addend.at[i]), to_float(x.at[i])));
  store_pack(args.y, at, x);
}

template <class T, int N>
__global__ void geglu_kernel(GegluArgs args) {
  const int64_t at = global_thread() * N;
  if (at >= args.rows * args.channels) return;
  const int64_t row = at / args.channels;
  auto value = load_pack<T, N>(args.x, at + row * args.channels);
  const auto gate = load_pack<T, N>(args.x, at + (row + 1) * args.channels);
  for (int i = 0; i < N; i++) value.at[i] = from_float<T>(to_float(value.at[i]) * Exact::gelu(to_float(gate.at[i])));
  store_pack(args.y, at, value);
}

}  // namespace

int calotype_activate(const ActivateArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) {
          activate_kernel<T, n><<<blocks_for(args->count / n, THREADS), THREADS, 0, stream>>>(*args);
        },
        args->count);
  });
  return cudaGetLastError();
}

int calotype_add(const AddArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) { add_kernel<T, n><<<blocks_for(args->count / n, THREADS), THREADS, 0, stream>>>(*args); },
        args->count);
  });
  return cudaGetLastError();
}

int calotype_multiply(const MultiplyArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) { multiply_kernel<T, n><<<blocks_for(args->count / n, THREADS), THREADS, 0, stream>>>(*args); },
        args->count);
  });
  return cudaGetLastError();
}

int calotype_add_gated(const AddGatedArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) { add_gated_kernel<T, n><<<blocks_for(args->count / n, THREADS), THREADS, 0, stream>>>(*args); },
        args->channels, args->columns, args->gate);
  });
  return cudaGetLastError();
}

int calotype_affine(const AffineArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) { affine_kernel<T, n><<<blocks_for(args->count / n, THREADS), THREADS, 0, stream>>>(*args); },
        args->count);
  });
  return cudaGetLastError();
}

int calotype_add_vectors(const AddVectorsArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) {
          add_vectors_kernel<T, n><<<blocks_for(args->count / n, THREADS), THREADS, 0, stream>>>(*args);
        },
        args->channels);
  });
  return cudaGetLastError();
}

int calotype_add_scaled(const AddScaledArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) {
          add_scaled_kernel<T, n><<<blocks_for(args->count / n, THREADS), THREADS, 0, stream>>>(*args);
        },
        args->channels);
  });
  return cudaGetLastError();
}

int calotype_geglu(const GegluArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(
        [&](auto n) {
          const int64_t items = args->rows * args->channels / n;
          geglu_kernel<T, n><<<blocks_for(items, THREADS), THREADS, 0, stream>>>(*args);
        },
        args->channels);
  });
  return cudaGetLastError();
}
