// One pass over a value: x * SCALE + SHIFT, + bias of the channel, + vector of the batch row, + or * a second value, activation.
// Serves activate, add, addBias, addRows, affine and multiply, each a variant; V is 4 channels wide where the sizes allow it.
#include "lib/flat.wgsl"
#if WIDE
alias V = vec4f;
#else
alias V = f32;
#endif
#include "lib/activation.wgsl"
// Elements, elements of a batch row, and channels, all in V.
struct Dims { count: u32, image: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
#if WIDE
@group(0) @binding(1) var<storage, read_write> y: array<vec4<y_t>>;
alias Y = vec4<y_t>;
#else
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;
alias Y = y_t;
#endif
#if !IN_PLACE
#if WIDE
@group(0) @binding(2) var<storage, read> x: array<vec4<x_t>>;
#else
@group(0) @binding(2) var<storage, read> x: array<x_t>;
#endif
#endif
#if OP == addBias
#if WIDE
@group(0) @binding(3) var<storage, read> bias: array<vec4<bias_t>>;
#else
@group(0) @binding(3) var<storage, read> bias: array<bias_t>;
#endif
#elif OP == addRows
#if WIDE
@group(0) @binding(3) var<storage, read> rows: array<vec4<rows_t>>;
#else
@group(0) @binding(3) var<storage, read> rows: array<rows_t>;
#endif
#if INDEXED
@group(0) @binding(4) var<storage, read> rowIndex: array<i32>;
#endif
#elif OP == add
#if WIDE
@group(0) @binding(3) var<storage, read> b: array<vec4<b_t>>;
#else
@group(0) @binding(3) var<storage, read> b: array<b_t>;
#endif
#elif OP == multiply
#if WIDE
@group(0) @binding(3) var<storage, read> b: array<vec4<b_t>>;
#else
@group(0) @binding(3) var<storage, read> b: array<b_t>;
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
#if IN_PLACE
  var v = V(y[i]);
#else
  var v = V(x[i]);
#endif
#if OP == addBias
  v += V(bias[i % CHANNELS]);
#elif OP == addRows
#if INDEXED
  v += V(rows[u32(rowIndex[i / dims.image]) * CHANNELS + i % CHANNELS]);
#else
  v += V(rows[i / dims.image * CHANNELS + i % CHANNELS]);
#endif
#elif OP == add
  v += V(b[i]);
#elif OP == multiply
  v *= V(b[i]);
#elif OP == affine
  v = v * SCALE + SHIFT;
#endif
  y[i] = Y(activate(v));
}
