// A range of the channels: LENGTH of CHANNELS from START on.
#include "lib/flat.wgsl"
struct Dims { count: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<x_t>;
@group(0) @binding(2) var<storage, read_write> y: array<y_t>;

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
  y[i] = y_t(x[i / LENGTH * CHANNELS + START + i % LENGTH]);
}
