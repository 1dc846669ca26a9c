// Mean over the positions of an image, channel by channel. A workgroup does 16 channels of an image: its 4 lanes a channel
// take turns at the positions, and the first of them adds up.
#include "lib/flat.wgsl"
struct Dims { positions: u32, blocks: u32, count: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<x_t>;
@group(0) @binding(2) var<storage, read_write> y: array<y_t>;
var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = flatIndex(group, groups);
  let image = block / dims.blocks;
  let channel = block % dims.blocks * 16u + lane % 16u;
  var sum = 0.0;
  if (channel < CHANNELS && block < dims.count) {
    for (var position = lane / 16u; position < dims.positions; position += 4u) {
      sum += f32(x[(image * dims.positions + position) * CHANNELS + channel]);
    }
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane < 16u && channel < CHANNELS && block < dims.count) {
    let total = sums[lane] + sums[lane + 16u] + sums[lane + 32u] + sums[lane + 48u];
    y[image * CHANNELS + channel] = y_t(total / f32(dims.positions));
  }
}
