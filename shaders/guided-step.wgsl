// One scheduler step, after classifier-free guidance if GUIDED; an element of all SLOTS of the state a thread, so that the
// state may be overwritten (IN_PLACE). The formula and the columns are those of schedulers/coefficients.ts.
#include "lib/flat.wgsl"
struct Dims { count: u32, image: u32, rows: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> output: array<output_t>;
@group(0) @binding(3) var<storage, read> coefficients: array<f32>;
@group(0) @binding(4) var<storage, read> row: array<i32>;
#if !IN_PLACE
@group(0) @binding(5) var<storage, read> state: array<f32>;
#endif
#if NOISE
@group(0) @binding(6) var<storage, read> noise: array<f32>;
#endif
#if FACTOR
@group(0) @binding(7) var<storage, read> factor: array<f32>;
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
  let first = min(u32(max(row[image], 0)), dims.rows - 1u) * COLUMNS;
  var predicted = f32(output[i]);
#if GUIDED
  predicted += coefficients[first + GUIDANCE_SCALE] * (f32(output[dims.count + i]) - predicted);
#if FACTOR
  predicted *= factor[image];
#endif
#endif
  var x0 = coefficients[first + X0_OUTPUT] * predicted;
#for j SLOTS
#if IN_PLACE
  let state$j = y[$ju * dims.count + i];
#else
  let state$j = state[$ju * dims.count + i];
#endif
  x0 += coefficients[first + X0_STATE + $ju] * state$j;
#endfor
  let clip = coefficients[first + CLIP];
  x0 = clamp(x0, -clip, clip);
#for k SLOTS
  var next$k = coefficients[first + NEXT_OUTPUT + $ku] * predicted + coefficients[first + NEXT_X0 + $ku] * x0;
#for j SLOTS
  next$k += coefficients[first + NEXT_STATE + $ku * SLOTS + $ju] * state$j;
#endfor
#if NOISE
  next$k += coefficients[first + NEXT_NOISE + $ku] * noise[i];
#endif
  y[$ku * dims.count + i] = next$k;
#endfor
}
