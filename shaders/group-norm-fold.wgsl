// Folds the moments of a group's channels and chunks (Chan, Golub and LeVeque 1979) to the group's count, mean and sum of
// squares about it. For a whole image, CHANNEL_SCALES, it leaves for each channel the mean and weight / sqrt(variance + EPS)
// in scratch1: [image][mean, scale][channel]. For a part of one it leaves the three numbers in y, [image][group][3], combined
// with those of the parts before if PREVIOUS.
#include "lib/flat.wgsl"
#include "lib/sum-lanes.wgsl"
struct Dims { groups: u32, positions: u32, chunks: u32, chunk: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> scratch0: array<f32>;
#if CHANNEL_SCALES
@group(0) @binding(2) var<storage, read> weight: array<weight_t>;
@group(0) @binding(3) var<storage, read_write> scratch1: array<f32>;
#else
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#if PREVIOUS
@group(0) @binding(3) var<storage, read> previous: array<f32>;
#endif
#endif

@compute @workgroup_size(LANES * REDUCTIONS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let reduction = reductionIndex(flatIndex(group, groups), index);
  if (reduction >= dims.groups) {
    return;
  }
  let lane = laneOf(index);
  let image = reduction / GROUPS;
  let channel = reduction % GROUPS * GROUP_CHANNELS;
  let parts = dims.chunks * GROUP_CHANNELS;
  let count = f32(dims.positions * GROUP_CHANNELS);
  var sum = 0.0;
  for (var i = lane; i < parts; i += LANES) {
    let chunk = i / GROUP_CHANNELS;
    let size = f32(min(dims.chunk, dims.positions - chunk * dims.chunk));
    sum += size * scratch0[(image * dims.chunks + chunk) * 2u * CHANNELS + channel + i % GROUP_CHANNELS];
  }
  let mean = sumLanes(sum, lane) / count;
  var squares = 0.0;
  for (var i = lane; i < parts; i += LANES) {
    let chunk = i / GROUP_CHANNELS;
    let size = f32(min(dims.chunk, dims.positions - chunk * dims.chunk));
    let at = (image * dims.chunks + chunk) * 2u * CHANNELS + channel + i % GROUP_CHANNELS;
    let d = scratch0[at] - mean;
    squares += scratch0[at + CHANNELS] + size * d * d;
  }
  let total = sumLanes(squares, lane);
#if CHANNEL_SCALES
  let scale = inverseSqrt(total / count + EPS);
  for (var i = lane; i < GROUP_CHANNELS; i += LANES) {
    scratch1[image * 2u * CHANNELS + channel + i] = mean;
    scratch1[image * 2u * CHANNELS + CHANNELS + channel + i] = scale * f32(weight[channel + i]);
  }
#else
  if (lane == 0u) {
    let at = reduction * 3u;
#if PREVIOUS
    let before = previous[at];
    let d = mean - previous[at + 1u];
    let all = before + count;
    y[at] = all;
    y[at + 1u] = previous[at + 1u] + d * (count / all);
    y[at + 2u] = previous[at + 2u] + total + d * d * before * (count / all);
#else
    y[at] = count;
    y[at + 1u] = mean;
    y[at + 2u] = total;
#endif
  }
#endif
}
