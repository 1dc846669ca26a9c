// Last pass of a group norm: (x - mean) * scale + bias, then the activation. `scales` is [image][mean, scale][channel].
//
// Why three passes (group-norm-moments.wgsl, group-norm-fold.wgsl, this): every group size fits, because channels are folded
// to groups only in the tiny second one; the reads of the large ones are whole rows; and there is parallelism over
// positions where images times groups would fill no GPU.
#include "lib/flat.wgsl"
struct Dims { count: u32, positions: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
#include "lib/group-norm-source.wgsl"
#include "lib/activation.wgsl"
#if WIDE
@group(0) @binding(3) var<storage, read> bias: array<vec4<bias_t>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<y_t>>;
alias Y = vec4<y_t>;
#else
@group(0) @binding(3) var<storage, read> bias: array<bias_t>;
@group(0) @binding(4) var<storage, read_write> y: array<y_t>;
alias Y = y_t;
#endif
@group(0) @binding(5) var<storage, read_write> scales: array<V>;

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
  let vector = i % VECTORS;
  let position = i / VECTORS;
  let first = position / dims.positions * 2u * VECTORS;
  let d = readAt(position, vector) - scales[first + vector];
  y[i] = Y(activate(d * scales[first + VECTORS + vector] + V(bias[vector])));
}
