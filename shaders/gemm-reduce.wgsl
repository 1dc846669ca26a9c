// Second half of a split GEMM: adds the partial sums of a row's four columns and applies the epilogue.
// GATE is the number of columns after which value and gate columns alternate (see src/kernels/packing.ts).
#include "lib/flat.wgsl"
struct Dims { rows: u32, imageRows: u32, splits: u32, partRows: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
#include "lib/partial-sum.wgsl"
#include "lib/epilogue.wgsl"

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flatIndex(group, groups) * 64u + lane;
  let row = i / VECTORS_N;
  let column = i % VECTORS_N * 4u;
  if (row >= dims.rows) {
    return;
  }
#if GATED
  let packed = column / GATE * 2u * GATE + column % GATE;
#else
  let packed = column;
#endif
  var sum = vec4f();
  var gate = vec4f();
  for (var split = 0u; split < dims.splits; split++) {
    sum += scratch0[partialIndex(split, row, packed)];
#if GATED
    gate += scratch0[partialIndex(split, row, packed + GATE)];
#endif
  }
  finish(row, column, sum, gate);
}
