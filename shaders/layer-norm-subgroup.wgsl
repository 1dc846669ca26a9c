// Layer normalisation of the last axis, a row a subgroup: (x - mean) / sqrt(variance + EPS) * weight + bias. A lane keeps its
// PARTS vectors of the row in registers, so memory is read once, and subgroups need no barrier.
// An SD1.5 step's 48 take 0.60 ms on an H100, with a workgroup a row (layer-norm.wgsl) 0.69; most of it is the dispatch itself.
// VECTORS vectors of 4 channels a row; ROWS subgroups of SUBGROUP_SIZE lanes a workgroup.
#include "lib/flat.wgsl"
enable subgroups;
struct Dims { rows: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<vec4<x_t>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<weight_t>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<bias_t>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<y_t>>;

@compute @workgroup_size(ROWS * SUBGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  // Subgroups beyond the last row do that row again, so that all lanes take part in sums, and leave nothing.
  let row = flatIndex(group, groups) * ROWS + index / SUBGROUP_SIZE;
  let lane = index % SUBGROUP_SIZE;
  let first = min(row, dims.rows - 1u) * VECTORS;
#for i PARTS
  let at$i = lane + $iu * SUBGROUP_SIZE;
  let v$i = select(vec4f(), vec4f(x[first + min(at$i, VECTORS - 1u)]), at$i < VECTORS);
#endfor
  var sum = vec4f();
#for i PARTS
  sum += v$i;
#endfor
  let mean = subgroupAdd(dot(sum, vec4f(1.0))) / f32(VECTORS * 4u);
  var squares = vec4f();
#for i PARTS
  let d$i = select(vec4f(), v$i - mean, at$i < VECTORS);
  squares += d$i * d$i;
#endfor
  let scale = inverseSqrt(subgroupAdd(dot(squares, vec4f(1.0))) / f32(VECTORS * 4u) + EPS);
#for i PARTS
  if (row < dims.rows && at$i < VECTORS) {
    y[first + at$i] = vec4<y_t>(d$i * scale * vec4f(weight[at$i]) + vec4f(bias[at$i]));
  }
#endfor
}
