// Convolution and linear layers as an implicit GEMM in registers, for software adapters: no workgroup memory, no
// barriers. A thread makes 8 rows by 4 * COLUMNS columns; a step multiplies 4 channels of a row by a 4x4 block of weights.
//
// x [rows.., C1] (and x2 [.., C2], read as concatenated), weight packed as `blocks`, epilogue of lib/epilogue.wgsl.
// Variants: CONV or linear, TWO_SOURCES, WIDE_X (channels are multiples of 4), COLUMNS 1 or 2, all epilogues, UNPACK (the
// weight is halves although the device has no f16).
//
// Why this one (2 cores, SwiftShader, 256 x 192 x 1728, GFLOP/s with robustness off / on):
//   8x8 mat4x4 2.7 / 1.8, 8x16 2.9 / 1.7 (but half as many threads), 4x8 2.3 / 1.3, 4x4 0.8, scalar lanes along n 1.1,
//   lanes that share loads through subgroupBroadcast 2.5 / 1.9, private arrays with loops instead of names 1.4 / 0.9.
//   Each load is a gather lane by lane there, so fewer loads a product win until registers spill.
//   The starter's layers run at 1.7 to 3.2 (off). Two sources have a loop each: choosing one at every load ran at 1.6, not 2.9.
//   Sizes of the model are uniforms on software adapters: no slower, and 43 shaders to compile for its UNet, not 73.
#include "lib/flat.wgsl"
#if CONV
struct Dims { rows: u32, imageRows: u32, height: u32, width: u32, outHeight: u32, outWidth: u32 }
#else
struct Dims { rows: u32 }
#endif
@group(0) @binding(0) var<uniform> dims: Dims;
#if UNPACK
@group(0) @binding(3) var<storage, read> weight: array<array<vec2u, 4>>;

fn unpackVector(halves: vec2u) -> vec4f {
  return vec4f(unpack2x16float(halves.x), unpack2x16float(halves.y));
}

fn weightBlock(i: u32) -> mat4x4f {
  let halves = weight[i];
  return mat4x4f(unpackVector(halves[0]), unpackVector(halves[1]), unpackVector(halves[2]), unpackVector(halves[3]));
}
#else
@group(0) @binding(3) var<storage, read> weight: array<mat4x4<weight_t>>;

fn weightBlock(i: u32) -> mat4x4f {
  return mat4x4f(weight[i]);
}
#endif
#include "lib/gemm-source.wgsl"
#include "lib/load-vec4.wgsl"
#include "lib/epilogue.wgsl"

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = flatIndex(group, groups) * 64u + lane;
  let row = tile / TILES_N * 8u;
  let column = tile % TILES_N * COLUMNS;
  if (row >= dims.rows) {
    return;
  }
#for i 8
  let corner$i = cornerOf(row + $iu);
#for j COLUMNS
  var sum$i_$j = vec4f();
#endfor
#endfor
  var block = column;
  for (var tap = 0u; tap < TAPS; tap++) {
#for i 8
    let pixel$i = pixelAt(corner$i, tap);
#endfor
    for (var c = 0u; c < V1; c++) {
#for j COLUMNS
      let w$j = weightBlock(block + $ju);
#endfor
#for i 8
      let a$i = loadFirst(pixel$i, c);
#for j COLUMNS
      sum$i_$j += w$j * a$i;
#endfor
#endfor
      block += BLOCKS_N;
    }
#if TWO_SOURCES
    for (var c = 0u; c < V2; c++) {
#for j COLUMNS
      let w$j = weightBlock(block + $ju);
#endfor
#for i 8
      let a$i = loadSecond(pixel$i, c);
#for j COLUMNS
      sum$i_$j += w$j * a$i;
#endfor
#endfor
      block += BLOCKS_N;
    }
#endif
  }
  // One copy of the epilogue, in a loop: SwiftShader compiles that in a fraction of the time of sixteen.
#for j COLUMNS
  var sums$j = array<vec4f, 8>(sum0_$j, sum1_$j, sum2_$j, sum3_$j, sum4_$j, sum5_$j, sum6_$j, sum7_$j);
#endfor
  for (var i = 0u; i < min(8u, dims.rows - row); i++) {
#if GATED
    if (column * 2u < N) {
      finish(row + i, column * 2u, sums0[i], sums1[i]);
    }
#else
#for j COLUMNS
    if ((column + $ju) * 4u < N) {
      finish(row + i, (column + $ju) * 4u, sums$j[i], vec4f());
    }
#endfor
#endif
  }
}
