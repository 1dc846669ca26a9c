// Norms of the last axis, by OP: layerNorm (x - mean) / sqrt(variance + EPS) * weight + bias; adaLayerNorm, whose weight is 1 plus
// columns from SCALE on, and bias columns from SHIFT on, of the image's row of modulation plus table; rmsNorm, x / sqrt(mean of
// squares + EPS) * weight.
// One reduction a row (lib/sum-lanes.wgsl): a workgroup on GPUs, with subgroups where offered; a thread on software
// adapters, where barriers cost more than they save. Two passes over a row that stays in cache, so that nothing cancels.
#include "lib/flat.wgsl"
#include "lib/sum-lanes.wgsl"
struct Dims { rows: u32, imageRows: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
#if WIDE
@group(0) @binding(1) var<storage, read> x: array<vec4<x_t>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<y_t>>;
alias V = vec4f;
alias Y = vec4<y_t>;

fn total(v: V) -> f32 {
  return v.x + v.y + v.z + v.w;
}
#else
@group(0) @binding(1) var<storage, read> x: array<x_t>;
@group(0) @binding(4) var<storage, read_write> y: array<y_t>;
alias V = f32;
alias Y = y_t;

fn total(v: V) -> f32 {
  return v;
}
#endif
#if OP == adaLayerNorm
#if WIDE
@group(0) @binding(2) var<storage, read> modulation: array<vec4<modulation_t>>;
@group(0) @binding(3) var<storage, read> table: array<vec4<table_t>>;
#else
@group(0) @binding(2) var<storage, read> modulation: array<modulation_t>;
@group(0) @binding(3) var<storage, read> table: array<table_t>;
#endif

fn columnOf(row: u32, column: u32) -> V {
  return V(modulation[row / dims.imageRows * COLUMNS + column]) + V(table[column]);
}
#else
#if WIDE
@group(0) @binding(2) var<storage, read> weight: array<vec4<weight_t>>;
#else
@group(0) @binding(2) var<storage, read> weight: array<weight_t>;
#endif
#if OP == layerNorm
#if WIDE
@group(0) @binding(3) var<storage, read> bias: array<vec4<bias_t>>;
#else
@group(0) @binding(3) var<storage, read> bias: array<bias_t>;
#endif
#endif
#endif

@compute @workgroup_size(LANES * REDUCTIONS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let row = reductionIndex(flatIndex(group, groups), index);
  if (row >= dims.rows) {
    return;
  }
  let lane = laneOf(index);
  let first = row * VECTORS;
#if OP == rmsNorm
  let mean = 0.0;
#else
  var sum = V();
  for (var i = lane; i < VECTORS; i += LANES) {
    sum += V(x[first + i]);
  }
  let mean = sumLanes(total(sum), lane) / CHANNELS;
#endif
  var squares = V();
  for (var i = lane; i < VECTORS; i += LANES) {
    let d = V(x[first + i]) - mean;
    squares += d * d;
  }
  let scale = inverseSqrt(sumLanes(total(squares), lane) / CHANNELS + EPS);
  for (var i = lane; i < VECTORS; i += LANES) {
    let normal = (V(x[first + i]) - mean) * scale;
#if OP == adaLayerNorm
    y[first + i] = Y(normal * (1.0 + columnOf(row, SCALE + i)) + columnOf(row, SHIFT + i));
#elif OP == rmsNorm
    y[first + i] = Y(normal * V(weight[i]));
#else
    y[first + i] = Y(normal * V(weight[i]) + V(bias[i]));
#endif
  }
}
