// Nearest-neighbour resize of [batch, height, width, CHANNELS], with torch's source index: floor(to * scale) in f32.
// scaleY and scaleX are the bits of f32 numbers, rounded on the host (WGSL's division may be off by 2.5 ulp).
#include "lib/flat.wgsl"
struct Dims { count: u32, height: u32, width: u32, outHeight: u32, outWidth: u32, scaleY: u32, scaleX: u32 }
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
  let pixel = i / CHANNELS;
  let column = min(u32(f32(pixel % dims.outWidth) * bitcast<f32>(dims.scaleX)), dims.width - 1u);
  let row = min(u32(f32(pixel / dims.outWidth % dims.outHeight) * bitcast<f32>(dims.scaleY)), dims.height - 1u);
  let image = pixel / (dims.outWidth * dims.outHeight);
  y[i] = y_t(x[((image * dims.height + row) * dims.width + column) * CHANNELS + i % CHANNELS]);
}
