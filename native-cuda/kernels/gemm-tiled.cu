// Implicit GEMM on CUDA cores: a block makes 64 x 64 outputs, a thread 4 x 4 of them, with sums in f32. It takes every shape,
// and is there for those that tensor-core kernels refuse.
#include "gemm-tiled.h"

#include "lib/activation.cuh"
#include "lib/element.cuh"

namespace {

constexpr int TILE = 64;
constexpr int DEPTH = 16;
constexpr int THREADS = 256;
// Rows of a tile in shared memory, padded against bank conflicts.
constexpr int PITCH = TILE + 4;

// Where a row of the product begins in the sources.
struct Pixel {
  int64_t image;
  int top;
  int left;
  bool inside;
};

__device__ Pixel pixel_of(const GemmTiledArgs& args, int64_t row) {
  const int64_t pixels = static_cast<int64_t>(args.out_height) * args.out_width;
  const int64_t within = row % pixels;
  return {row / pixels, static_cast<int>(within / args.out_width) * args.stride - args.pad_top,
          static_cast<int>(within % args.out_width) * args.stride - args.pad_left, row < args.output_rows};
}

// Four neighbouring channels of a tap, zeros outside of the image and past the last channel.
template <class T>
__device__ void load_patch(const GemmTiledArgs& args, const Pixel& pixel, int ky, int kx, int channel, float* values) {
  const int scale = args.upsample ? 2 : 1;
  const int y = pixel.top + ky;
  const int x = pixel.left + kx;
  const bool inside = pixel.inside && y >= 0 && y < args.height * scale && x >= 0 && x < args.width * scale;
  const int64_t at = (pixel.image * args.height + y / scale) * args.width + x / scale;
  for (int i = 0; i < 4; i++) {
    const int c = channel + i;
    values[i] = 0.0f;
    if (inside && c < args.channels1)
      values[i] = load_float<T>(args.x, at * args.channels1 + c);
    else if (inside && c < args.channels1 + args.channels2)
      values[i] = load_float<T>(args.x2, at * args.channels2 + c - args.channels1);
  }
}

template <class T>
__device__ float epilogue(const GemmTiledArgs& args, float sum, int64_t row, int column) {
  if (args.bias) sum += load_float<T>(args.bias, column);
  if (args.rows) {
    const int image = static_cast<int>(row / (static_cast<int64_t>(args.out_height) * args.out_width));
    const int wanted = args.row_index ? args.row_index[image] : image;
    sum += load_float<T>(args.rows, static_cast<int64_t>(min(max(wanted, 0), args.table_rows - 1)) * args.columns + column);
  }
  return sum;
}

// Column `j` of a tile: gated tiles hold 32 values and then the 32 gates that belong to them.
__device__ int column_of(const GemmTiledArgs& args, int j) {
  if (!args.gated) return blockIdx.y * TILE + j;
  const int value = blockIdx.y * (TILE / 2) + j % (TILE / 2);
  const int half = args.columns / 2;
  if (value >= half) return args.columns;
  return j < TILE / 2 ? value : half + value;
}

template <class T>
__global__ void __launch_bounds__(THREADS) gemm_tiled_kernel(const __grid_constant__ GemmTiledArgs args) {
  __shared__ float a_tile[DEPTH][PITCH];
  __shared__ float b_tile[DEPTH][PITCH];
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * TILE;
  const int channels = args.channels1 + args.channels2;
  const int64_t weight_pitch = static_cast<int64_t>(args.kernel_height) * args.kernel_width * channels;
  // What this thread loads: four channels of a row of either tile.
  const int load_row = threadIdx.x / 4;
  const int load_channel = threadIdx.x % 4 * 4;
  const Pixel pixel = pixel_of(args, first_row + load_row);
  const int load_column = column_of(args, load_row);
  // What it computes: rows 4 * ty + i, columns tx + 16 * j.
  const int tx = threadIdx.x % 16;
  const int ty = threadIdx.x / 16;
  float sums[4][4] = {};

  for (int tap = 0; tap < args.kernel_height * args.kernel_width; tap++)
    for (int first = 0; first < channels; first += DEPTH) {
      const int channel = first + load_channel;
      float a[4];
      float b[4];
      load_patch<T>(args, pixel, tap / args.kernel_width, tap % args.kernel_width, channel, a);
      for (int i = 0; i < 4; i++) {
        const bool inside = load_column < args.columns && channel + i < channels;
        const int64_t at = load_column * weight_pitch + static_cast<int64_t>(tap) * channels + channel + i;
        b[i] = inside ? load_float<T>(args.weight, at) : 0.0f;
      }
      __syncthreads();
      for (int i = 0; i < 4; i++) {
        a_tile[load_channel + i][load_row] = a[i];
        b_tile[load_channel + i][load_row] = b[i];
      }
      __syncthreads();
      for (int k = 0; k < DEPTH; k++) {
        const float4 left = *reinterpret_cast<const float4*>(&a_tile[k][4 * ty]);
        const float rows[4] = {left.x, left.y, left.z, left.w};
        for (int j = 0; j < 4; j++) {
          const float right = b_tile[k][tx + 16 * j];
          for (int i = 0; i < 4; i++) sums[i][j] = fmaf(rows[i], right, sums[i][j]);
        }
      }
    }

  const int out_columns = args.gated ? args.columns / 2 : args.columns;
  for (int i = 0; i < 4; i++) {
    const int64_t row = first_row + 4 * ty + i;
    if (row >= args.output_rows) return;
    for (int j = 0; j < (args.gated ? 2 : 4); j++) {
      const int column = column_of(args, tx + 16 * j);
      if (column >= out_columns) continue;
      float value = epilogue<T>(args, sums[i][j], row, column);
      const int64_t to = row * out_columns + column;
      if (args.gated) {
        value *= Exact::gelu(epilogue<T>(args, sums[i][j + 2], row, column + out_columns));
      } else {
        if (args.residual) value += load_float<T>(args.residual, to);
        value = activate<Exact>(value, args.activation);
      }
      static_cast<T*>(args.y)[to] = from_float<T>(value);
    }
  }
}

}  // namespace

int calotype_gemm_tiled(const GemmTiledArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    const int columns = args->gated ? args->columns / 2 : args->columns;
    const dim3 grid(blocks_for(args->output_rows, TILE), blocks_for(columns, args->gated ? TILE / 2 : TILE));
    gemm_tiled_kernel<decltype(zero)><<<grid, THREADS, 0, stream>>>(*args);
  });
  return cudaGetLastError();
}
