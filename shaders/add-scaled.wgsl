// y = x + scale[image, column] * addend, in place of x where it may; the addend is as large as x, or a vector an image if
// VECTORS. V is 4 channels wide where the sizes allow it. The column is no constant: networks have a dozen of them.
#include "lib/flat.wgsl"
// Elements and elements of a batch row in V; columns of the scales, and which of them.
struct Dims { count: u32, image: u32, columns: u32, column: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
#if WIDE
alias V = vec4f;
alias Y = vec4<y_t>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<y_t>>;
@group(0) @binding(2) var<storage, read> addend: array<vec4<addend_t>>;
#else
alias V = f32;
alias Y = y_t;
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;
@group(0) @binding(2) var<storage, read> addend: array<addend_t>;
#endif
@group(0) @binding(3) var<storage, read> scale: array<scale_t>;
#if !IN_PLACE
#if WIDE
@group(0) @binding(4) var<storage, read> x: array<vec4<x_t>>;
#else
@group(0) @binding(4) var<storage, read> x: array<x_t>;
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
  let image = i / dims.image;
#if IN_PLACE
  let v = V(y[i]);
#else
  let v = V(x[i]);
#endif
#if VECTORS
  let added = V(addend[image * CHANNELS + i % CHANNELS]);
#else
  let added = V(addend[i]);
#endif
  y[i] = Y(v + f32(scale[image * dims.columns + dims.column]) * added);
}
