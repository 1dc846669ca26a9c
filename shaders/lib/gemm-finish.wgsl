// What the epilogue of a product on matrices reads. Whether it does is in Dims, so that few variants are compiled: biased 1;
// rowed 1 for a vector an image, 2 for one by rowIndex; added 1 for a residual, 2 for one whose place the output took.
// OCTETS: all are f16, eight columns at a time. NARROW: columns are no multiple of 4, and nothing is added but a bias.
alias V = vec4f;
#include "activation.wgsl"
#if OCTETS
alias Item = vec4u;
alias BiasItem = vec4u;
alias RowsItem = vec4u;
alias ResidualItem = vec4u;
// As loaded.
alias Held = vec4u;

fn part0(held: Held) -> vec4f {
  return vec4f(unpack2x16float(held.x), unpack2x16float(held.y));
}

fn part1(held: Held) -> vec4f {
  return vec4f(unpack2x16float(held.z), unpack2x16float(held.w));
}
#else
#if NARROW
alias Item = y_t;
alias BiasItem = bias_t;
#else
alias Item = vec4<y_t>;
alias BiasItem = vec4<bias_t>;
alias RowsItem = vec4<rows_t>;
alias ResidualItem = vec4<residual_t>;
#endif
alias Held = vec4f;

fn part0(held: Held) -> vec4f {
  return held;
}
#endif
@group(0) @binding(4) var<storage, read_write> y: array<Item>;
@group(0) @binding(5) var<storage, read> bias: array<BiasItem>;
#if NARROW

fn biasAt(column: u32) -> Held {
  let last = dims.columns - 1u;
  return vec4f(f32(bias[min(column, last)]), f32(bias[min(column + 1u, last)]), f32(bias[min(column + 2u, last)]), f32(bias[min(column + 3u, last)]));
}
#else
#if ROWED
@group(0) @binding(6) var<storage, read> rows: array<RowsItem>;
@group(0) @binding(7) var<storage, read> rowIndex: array<i32>;
#endif
@group(0) @binding(8) var<storage, read> residual: array<ResidualItem>;

fn biasAt(column: u32) -> Held {
  return Held(bias[column / COLUMNS]);
}

#if ROWED
fn rowVector(row: u32, column: u32) -> Held {
  var image = row / dims.imageRows;
  if (dims.rowed == 2u) {
    image = u32(rowIndex[image]);
  }
  return Held(rows[(image * dims.columns + column) / COLUMNS]);
}
#endif

fn residualAt(at: u32) -> Held {
  return Held(residual[at]);
}

// What the output took the place of.
fn resultAt(at: u32) -> Held {
  return Held(y[at]);
}
#endif
