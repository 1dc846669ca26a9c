// From a group's count, mean and squares (stats, [image][group][3]) to each channel's mean and scale, as group-norm.wgsl
// wants them in scratch0: [image][mean, scale][channel].
#include "lib/flat.wgsl"
struct Dims { count: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> stats: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<weight_t>;
@group(0) @binding(3) var<storage, read_write> scratch0: array<f32>;

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
  let image = i / CHANNELS;
  let channel = i % CHANNELS;
  let at = (image * GROUPS + channel / GROUP_CHANNELS) * 3u;
  scratch0[image * 2u * CHANNELS + channel] = stats[at + 1u];
  scratch0[image * 2u * CHANNELS + CHANNELS + channel] = f32(weight[channel]) * inverseSqrt(stats[at + 2u] / stats[at] + EPS);
}
