// What the epilogue of a product on matrices reads. Whether it does is in Dims, so that few variants are compiled: biased 1;
// rowed 1 for a vector an image, 2 for one by rowIndex; added 1 for a residual, 2 for one whose place the output took.
// NARROW: columns are no multiple of 4, and nothing is added but a bias.
alias V = vec4f;
#include "activation.wgsl"
#if NARROW
@group(0) @binding(4) var<storage, read_write> y: array<y_t>;
@group(0) @binding(5) var<storage, read> bias: array<bias_t>;

fn biasAt(column: u32) -> vec4f {
  let last = dims.columns - 1u;
  return vec4f(f32(bias[min(column, last)]), f32(bias[min(column + 1u, last)]), f32(bias[min(column + 2u, last)]), f32(bias[min(column + 3u, last)]));
}
#else
@group(0) @binding(4) var<storage, read_write> y: array<vec4<y_t>>;
@group(0) @binding(5) var<storage, read> bias: array<vec4<bias_t>>;
@group(0) @binding(6) var<storage, read> rows: array<vec4<rows_t>>;
@group(0) @binding(7) var<storage, read> rowIndex: array<i32>;
@group(0) @binding(8) var<storage, read> residual: array<vec4<residual_t>>;

fn biasAt(column: u32) -> vec4f {
  return vec4f(bias[column / 4u]);
}

fn rowVector(row: u32, column: u32) -> vec4f {
  var image = row / dims.imageRows;
  if (dims.rowed == 2u) {
    image = u32(rowIndex[image]);
  }
  return vec4f(rows[(image * dims.columns + column) / 4u]);
}

fn residualAt(at: u32) -> vec4f {
  if (dims.added == 2u) {
    return vec4f(y[at]);
  }
  return vec4f(residual[at]);
}
#endif
