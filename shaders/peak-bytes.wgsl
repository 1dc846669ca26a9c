// Copies: the most bytes that a device reads and writes. For rooflines.
#include "lib/flat.wgsl"
struct Dims { count: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4u>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flatIndex(group, groups) * 256u + lane;
  if (i < dims.count) {
    y[i] = x[i];
  }
}
