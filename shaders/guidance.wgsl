// Classifier-free guidance: y = factor * (uncond + scale * (cond - uncond)), unconditional images first.
// RESCALE reads each image's factor, which guidance-factor.wgsl has put into scratch0.
#include "lib/flat.wgsl"
struct Dims { count: u32, image: u32, rows: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> output: array<output_t>;
@group(0) @binding(2) var<storage, read> coefficients: array<f32>;
@group(0) @binding(3) var<storage, read> row: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#if RESCALE
@group(0) @binding(5) var<storage, read_write> scratch0: array<f32>;
#endif

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
  let image = i / dims.image;
  let scale = coefficients[min(u32(max(row[image], 0)), dims.rows - 1u) * COLUMNS + GUIDANCE_SCALE];
  let uncond = f32(output[i]);
  var guided = uncond + scale * (f32(output[dims.count + i]) - uncond);
#if RESCALE
  guided *= scratch0[image];
#endif
  y[i] = guided;
}
