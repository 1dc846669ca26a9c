// A row of x for each batch row: y[i] = x[first + index[i]], first = i * dims.stride (0 for a table that all rows share, the
// number of tokens for sequences). Indices are clamped to the dims.rows rows there are.
#include "lib/flat.wgsl"
struct Dims { count: u32, rows: u32, stride: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<x_t>;
@group(0) @binding(2) var<storage, read> index: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<y_t>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flatIndex(group, groups) * 64u + lane;
  if (i >= dims.count) {
    return;
  }
  let row = i / CHANNELS;
  let source = row * dims.stride + min(u32(max(index[row], 0)), dims.rows - 1u);
  y[i] = y_t(x[source * CHANNELS + i % CHANNELS]);
}
