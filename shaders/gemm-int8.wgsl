// Linear layers on signed bytes with dot4I8Packed, for adapters without matrices of bytes.
// A workgroup of 16 x 16 threads makes 64 rows by 64 columns (128 with gates), a thread 4 rows by 4 columns and their gates.
// Steps of 64 of the sum are staged through workgroup memory; sums are whole numbers, so that order does not matter.
//
// scratch0 [rows][vectors] of 16 bytes and scratch1 [rows] from quantize-rows.wgsl; weight packed as `int8`, gates (GEGLU) 8
// columns apart; epilogue of lib/epilogue.wgsl. Variants: GATED, all epilogues.
//
// Why this one: columns of the weight's tile are stored in the order of the threads that read them, so that neighbours read
// neighbours; bytes need no conversion in the inner loop, 64 of it for 8 loads.
#include "lib/flat.wgsl"
requires packed_4x8_integer_dot_product;
struct Dims { rows: u32, groupsN: u32, vectors: u32, weightRows: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> scratch0: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> scratch1: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<vec4u>;
#include "lib/epilogue.wgsl"

// Columns of a thread, and of a workgroup.
const WIDTH: u32 = COLUMNS * 16u;
// [4 vectors of the sum][row or column]
var<workgroup> tileX: array<vec4u, 256>;
var<workgroup> tileW: array<vec4u, 4 * WIDTH>;

fn dot16(a: vec4u, b: vec4u) -> i32 {
  return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

// Where the tile has a column: all first columns of threads, all second ones, ...
fn columnPlace(column: u32) -> u32 {
#if GATED
  let thread = column / 16u * 2u + column % 8u / 4u;
  return (column % 16u / 8u * 4u + column % 4u) * 16u + thread;
#else
  return column % 4u * 16u + column / 4u;
#endif
}

// Scales of four columns of the packed weight.
fn columnScales(column: u32) -> vec4f {
  return bitcast<vec4f>(weight[dims.weightRows * dims.vectors + min(column, dims.weightRows - 4u) / 4u]);
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let flat = flatIndex(group, groups);
  let firstRow = flat / dims.groupsN * 64u;
  let firstColumn = flat % dims.groupsN * WIDTH;
  let across = lane % 16u;
  let down = lane / 16u * 4u;
  // [4 rows][VECTORS]; loops, not copies: compilers of GPUs unroll them, SwiftShader takes a second for each copy.
  var sums: array<vec4i, 4 * VECTORS>;
  for (var step = 0u; step < dims.vectors; step += 4u) {
    let part = lane % 4u;
    tileX[part * 64u + lane / 4u] = scratch0[min(firstRow + lane / 4u, dims.rows - 1u) * dims.vectors + step + part];
#for v VECTORS
    {
      let column = lane / 4u + 64u * $vu;
      tileW[part * WIDTH + columnPlace(column)] = weight[min(firstColumn + column, dims.weightRows - 1u) * dims.vectors + step + part];
    }
#endfor
    workgroupBarrier();
    for (var k = 0u; k < 4u; k++) {
      for (var v = 0u; v < VECTORS; v++) {
        let at = k * WIDTH + v * 64u + across;
        let b0 = tileW[at];
        let b1 = tileW[at + 16u];
        let b2 = tileW[at + 32u];
        let b3 = tileW[at + 48u];
        for (var i = 0u; i < 4u; i++) {
          let a = tileX[k * 64u + down + i];
          sums[i * VECTORS + v] += vec4i(dot16(a, b0), dot16(a, b1), dot16(a, b2), dot16(a, b3));
        }
      }
    }
    workgroupBarrier();
  }
  let column = firstColumn / VECTORS + across * 4u;
#if GATED
  let packed = firstColumn + across / 2u * 16u + across % 2u * 4u;
#else
  let packed = column;
#endif
  let scales = columnScales(packed);
  for (var i = 0u; i < 4u; i++) {
    let row = firstRow + down + i;
    if (row < dims.rows && column < N) {
      let scale = scratch1[row];
#if GATED
      let gate = vec4f(sums[i * VECTORS + 1u]) * scale * columnScales(packed + 8u);
#else
      let gate = vec4f();
#endif
      finish(row, column, vec4f(sums[i * VECTORS]) * scale * scales, gate);
    }
  }
}
