// Rows of activations as signed bytes, each row with a scale of its own: its largest magnitude becomes 127.
// x [rows, 4 * vectors]; scratch0 [rows][vectors] of four bytes, scratch1 [rows] what they are multiplied by.
//
// Variants: LANES lanes share a row. One lane a row, without barriers, is for software adapters.
#include "lib/flat.wgsl"
struct Dims { rows: u32, vectors: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<vec4<x_t>>;
@group(0) @binding(2) var<storage, read_write> scratch0: array<u32>;
@group(0) @binding(3) var<storage, read_write> scratch1: array<f32>;
#if SHARED
var<workgroup> largest: array<f32, LANES>;
#endif

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
#if SHARED
  let row = flatIndex(group, groups);
#else
  let row = flatIndex(group, groups) * 64u + lane;
#endif
  if (row >= dims.rows) {
    return;
  }
  let first = row * dims.vectors;
  let own = lane % LANES;
  var most = vec4f();
  for (var i = own; i < dims.vectors; i += LANES) {
    most = max(most, abs(vec4f(x[first + i])));
  }
  var magnitude = max(max(most.x, most.y), max(most.z, most.w));
#if SHARED
  largest[own] = magnitude;
  workgroupBarrier();
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    if (own < width) {
      largest[own] = max(largest[own], largest[own + width]);
    }
    workgroupBarrier();
  }
  magnitude = largest[0];
#endif
  let factor = select(0.0, 127.0 / magnitude, magnitude > 0.0);
  for (var i = own; i < dims.vectors; i += LANES) {
    scratch0[first + i] = pack4xI8(vec4i(round(vec4f(x[first + i]) * factor)));
  }
  if (own == 0u) {
    scratch1[row] = magnitude / 127.0;
  }
}
