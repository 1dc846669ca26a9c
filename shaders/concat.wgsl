// Concatenation along channels: y = [a, b]. CHANNELS_A and CHANNELS_B elements a row. Graphs rarely keep one: convolutions
// and group norms read two sources.
#include "lib/flat.wgsl"
struct Dims { count: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> a: array<a_t>;
@group(0) @binding(2) var<storage, read> b: array<b_t>;
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
  let row = i / (CHANNELS_A + CHANNELS_B);
  let channel = i % (CHANNELS_A + CHANNELS_B);
  if (channel < CHANNELS_A) {
    y[i] = y_t(a[row * CHANNELS_A + channel]);
  } else {
    y[i] = y_t(b[row * CHANNELS_B + channel - CHANNELS_A]);
  }
}
