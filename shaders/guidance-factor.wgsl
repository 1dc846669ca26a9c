// The factor of guidance rescale for each image: rescale * std(cond) / std(guided) + 1 - rescale, unbiased deviations.
// One reduction an image (lib/sum-lanes.wgsl): the means first, then the squares about them.
#include "lib/flat.wgsl"
#include "lib/sum-lanes.wgsl"
struct Dims { images: u32, image: u32, rows: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> output: array<output_t>;
@group(0) @binding(2) var<storage, read> coefficients: array<f32>;
@group(0) @binding(3) var<storage, read> row: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// cond and guided of element i of an image
fn readAt(image: u32, i: u32, scale: f32) -> vec2f {
  let at = image * dims.image + i;
  let uncond = f32(output[at]);
  let cond = f32(output[dims.images * dims.image + at]);
  return vec2f(cond, uncond + scale * (cond - uncond));
}

@compute @workgroup_size(LANES * REDUCTIONS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let image = reductionIndex(flatIndex(group, groups), index);
  if (image >= dims.images) {
    return;
  }
  let lane = laneOf(index);
  let first = min(u32(max(row[image], 0)), dims.rows - 1u) * COLUMNS;
  let scale = coefficients[first + GUIDANCE_SCALE];
  let rescale = coefficients[first + GUIDANCE_RESCALE];
  let count = f32(dims.image);
  var sum = vec2f();
  for (var i = lane; i < dims.image; i += LANES) {
    sum += readAt(image, i, scale);
  }
  let mean = vec2f(sumLanes(sum.x, lane), sumLanes(sum.y, lane)) / count;
  var squares = vec2f();
  for (var i = lane; i < dims.image; i += LANES) {
    let d = readAt(image, i, scale) - mean;
    squares += d * d;
  }
  let total = vec2f(sumLanes(squares.x, lane), sumLanes(squares.y, lane));
  if (lane == 0u) {
    y[image] = rescale * sqrt(total.x / total.y) + 1.0 - rescale;
  }
}
