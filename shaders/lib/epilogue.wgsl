// What happens to a finished sum: bias, the batch row's vector, gate, residual, activation, store. N output channels.
alias V = vec4f;
#include "activation.wgsl"
#if WIDE_Y
alias Y = vec4<y_t>;
#else
alias Y = y_t;
#endif
@group(0) @binding(4) var<storage, read_write> y: array<Y>;
#if BIAS
#if WIDE_Y
@group(0) @binding(5) var<storage, read> bias: array<vec4<bias_t>>;
#else
@group(0) @binding(5) var<storage, read> bias: array<bias_t>;
#endif

fn biasAt(column: u32) -> vec4f {
#if WIDE_Y
  return vec4f(bias[column / 4u]);
#else
  let last = arrayLength(&bias) - 1u;
  return vec4f(f32(bias[min(column, last)]), f32(bias[min(column + 1u, last)]), f32(bias[min(column + 2u, last)]), f32(bias[min(column + 3u, last)]));
#endif
}
#endif
#if ROWS != none
#if WIDE_Y
@group(0) @binding(6) var<storage, read> rows: array<vec4<rows_t>>;
#else
@group(0) @binding(6) var<storage, read> rows: array<rows_t>;
#endif
#if ROWS == index
@group(0) @binding(7) var<storage, read> rowIndex: array<i32>;
#endif

fn rowVector(row: u32, column: u32) -> vec4f {
  var at = row / dims.imageRows;
#if ROWS == index
  at = u32(rowIndex[at]);
#endif
  at = at * N + column;
#if WIDE_Y
  return vec4f(rows[at / 4u]);
#else
  let last = arrayLength(&rows) - 1u;
  return vec4f(f32(rows[min(at, last)]), f32(rows[min(at + 1u, last)]), f32(rows[min(at + 2u, last)]), f32(rows[min(at + 3u, last)]));
#endif
}
#endif
#if RESIDUAL == separate
#if WIDE_Y
@group(0) @binding(8) var<storage, read> residual: array<vec4<residual_t>>;
#else
@group(0) @binding(8) var<storage, read> residual: array<residual_t>;
#endif

fn residualAt(at: u32) -> vec4f {
#if WIDE_Y
  return vec4f(residual[at / 4u]);
#else
  let last = arrayLength(&residual) - 1u;
  return vec4f(f32(residual[min(at, last)]), f32(residual[min(at + 1u, last)]), f32(residual[min(at + 2u, last)]), f32(residual[min(at + 3u, last)]));
#endif
}
#elif RESIDUAL == in_place
// The output took the residual's place.
fn residualAt(at: u32) -> vec4f {
#if WIDE_Y
  return vec4f(y[at / 4u]);
#else
  let last = arrayLength(&y) - 1u;
  return vec4f(f32(y[min(at, last)]), f32(y[min(at + 1u, last)]), f32(y[min(at + 2u, last)]), f32(y[min(at + 3u, last)]));
#endif
}
#endif

// Finishes four neighbouring output columns of a row inside the output; `gate` holds the sums of the gates if GATED.
fn finish(row: u32, column: u32, sum: vec4f, gate: vec4f) {
  var v = sum;
#if BIAS
  v += biasAt(column);
#endif
#if ROWS != none
  v += rowVector(row, column);
#endif
#if GATED
#if BIAS
  v *= gelu(gate + biasAt(N + column));
#else
  v *= gelu(gate);
#endif
#endif
  let at = row * N + column;
#if RESIDUAL != none
  v += residualAt(at);
#endif
  v = activate(v);
#if WIDE_Y
  y[at / 4u] = Y(v);
#else
  for (var j = 0u; j < min(4u, N - column); j++) {
    y[at + j] = Y(v[j]);
  }
#endif
}
