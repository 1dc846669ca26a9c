// What the network is fed: sum over SLOTS of coefficient * state slot, for each image, repeated for guidance.
// COLUMNS coefficients a row, those of the input from INPUT on (see schedulers/coefficients.ts).
#include "lib/flat.wgsl"
struct Dims { count: u32, image: u32, images: u32, rows: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> state: array<f32>;
@group(0) @binding(2) var<storage, read> coefficients: array<f32>;
@group(0) @binding(3) var<storage, read> row: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<y_t>;

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
  let at = i % (dims.images * dims.image);
  let first = min(u32(max(row[at / dims.image], 0)), dims.rows - 1u) * COLUMNS + INPUT;
  var sum = 0.0;
  for (var slot = 0u; slot < SLOTS; slot++) {
    sum += coefficients[first + slot] * state[slot * dims.images * dims.image + at];
  }
  y[i] = y_t(sum);
}
