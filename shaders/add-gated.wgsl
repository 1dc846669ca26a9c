// y = x + (modulation[image, GATE + channel] + table[GATE + channel]) * addend, in place of x where it may. V is 4 channels
// wide where the sizes allow it; CHANNELS, COLUMNS and GATE are in V.
#include "lib/flat.wgsl"
// Elements, and elements of a batch row, in V.
struct Dims { count: u32, image: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
#if WIDE
alias V = vec4f;
alias Y = vec4<y_t>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<y_t>>;
@group(0) @binding(2) var<storage, read> addend: array<vec4<addend_t>>;
@group(0) @binding(3) var<storage, read> modulation: array<vec4<modulation_t>>;
@group(0) @binding(4) var<storage, read> table: array<vec4<table_t>>;
#else
alias V = f32;
alias Y = y_t;
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;
@group(0) @binding(2) var<storage, read> addend: array<addend_t>;
@group(0) @binding(3) var<storage, read> modulation: array<modulation_t>;
@group(0) @binding(4) var<storage, read> table: array<table_t>;
#endif
#if !IN_PLACE
#if WIDE
@group(0) @binding(5) var<storage, read> x: array<vec4<x_t>>;
#else
@group(0) @binding(5) var<storage, read> x: array<x_t>;
#endif
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
  let column = GATE + i % CHANNELS;
  let gate = V(modulation[i / dims.image * COLUMNS + column]) + V(table[column]);
#if IN_PLACE
  let v = V(y[i]);
#else
  let v = V(x[i]);
#endif
  y[i] = Y(v + gate * V(addend[i]));
}
