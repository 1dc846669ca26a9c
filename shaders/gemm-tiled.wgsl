// Convolution and linear layers as an implicit GEMM through workgroup memory, for any GPU.
// A workgroup of 16 x 16 threads makes ROWS_TILE x COLUMNS_TILE outputs, a thread ROW_VECTORS rows (16 apart) by COLUMNS vectors of
// 4 columns, 64 columns apart. Steps of 16 of the sum are staged as f32; the next step is loaded while one is multiplied.
//
// x [rows.., C1] (and x2 [.., C2], read as concatenated), weight packed as `blocks`, epilogue of lib/epilogue.wgsl.
// Variants: CONV or linear, TWO_SOURCES, WIDE_X, tile sizes, SPLIT (the sum is split over workgroups, gemm-reduce.wgsl
// finishes), all epilogues, UNPACK (the weight is halves although the device has no f16).
//
// Why this one: staged f32 needs no conversion in the inner loop even when storage is f16, and a step of 4 channels is
// one mat4x4 product for 4 x 4 multiply-adds, so 8 x 8 outputs a thread do 256 of them for 16 vector loads.
#include "lib/flat.wgsl"
#if CONV
struct Dims { rows: u32, groupsM: u32, splits: u32, partRows: u32, imageRows: u32, height: u32, width: u32, outHeight: u32, outWidth: u32 }
#else
struct Dims { rows: u32, groupsM: u32, splits: u32, partRows: u32 }
#endif
@group(0) @binding(0) var<uniform> dims: Dims;
#if UNPACK
@group(0) @binding(3) var<storage, read> weight: array<vec2u>;

fn weightVector(i: u32) -> vec4f {
  let halves = weight[i];
  return vec4f(unpack2x16float(halves.x), unpack2x16float(halves.y));
}
#else
@group(0) @binding(3) var<storage, read> weight: array<vec4<weight_t>>;

fn weightVector(i: u32) -> vec4f {
  return vec4f(weight[i]);
}
#endif
#include "lib/gemm-source.wgsl"
#include "lib/load-vec4.wgsl"
#if SPLIT
#include "lib/partial-sum.wgsl"
#else
#include "lib/epilogue.wgsl"
#endif

const VECTORS_TILE: u32 = COLUMNS_TILE / 4u;
// [row][4 vectors of the sum] and [16 of the sum][column vector]
var<workgroup> tileX: array<vec4f, ROWS_TILE * 4>;
var<workgroup> tileW: array<vec4f, VECTORS_TILE * 16>;

fn loadWeight(element: u32, step: u32, firstVector: u32) -> vec4f {
  let vector = firstVector + element / 4u % VECTORS_TILE;
  let k = step * 4u + element / (4u * VECTORS_TILE);
  let at = (min(k, DEPTH - 1u) * BLOCKS_N + min(vector, BLOCKS_N - 1u)) * 4u + element % 4u;
  return select(vec4f(), weightVector(at), k < DEPTH && vector < BLOCKS_N);
}

fn loadSource(corner: Corner, step: u32, k: u32) -> vec4f {
  let at = step * 4u + k;
  return loadVector(select(-1, pixelAt(corner, at / (V1 + V2)), at < DEPTH), at % (V1 + V2));
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let flat = flatIndex(group, groups);
  let firstVector = flat % GROUPS_N * VECTORS_TILE;
  let firstRow = flat / GROUPS_N % dims.groupsM * ROWS_TILE;
  let split = flat / (GROUPS_N * dims.groupsM);
  if (split >= dims.splits) {
    return;
  }
  let tx = lane % 16u;
  let ty = lane / 16u;
#for i LOADS_X
  let corner$i = cornerOf(firstRow + lane / 4u + 64u * $iu);
#endfor
#for i ROW_VECTORS
#for j COLUMNS
  var sum$i_$j = vec4f();
#endfor
#endfor
  let firstStep = split * STEPS / dims.splits;
  let lastStep = (split + 1u) * STEPS / dims.splits;
#for i LOADS_X
  var x$i = loadSource(corner$i, firstStep, lane % 4u);
#endfor
#for i LOADS_W
  var w$i = loadWeight(lane + 256u * $iu, firstStep, firstVector);
#endfor
  for (var step = firstStep; step < lastStep; step++) {
    workgroupBarrier();
#for i LOADS_X
    tileX[lane + 256u * $iu] = x$i;
#endfor
#for i LOADS_W
    {
      let element = lane + 256u * $iu;
      tileW[(element / (4u * VECTORS_TILE) * 4u + element % 4u) * VECTORS_TILE + element / 4u % VECTORS_TILE] = w$i;
    }
#endfor
    workgroupBarrier();
#for i LOADS_X
    x$i = loadSource(corner$i, step + 1u, lane % 4u);
#endfor
#for i LOADS_W
    w$i = loadWeight(lane + 256u * $iu, step + 1u, firstVector);
#endfor
    for (var k = 0u; k < 4u; k++) {
#for j COLUMNS
      let at$j = k * 4u * VECTORS_TILE + tx + 16u * $ju;
      let m$j = mat4x4f(tileW[at$j], tileW[at$j + VECTORS_TILE], tileW[at$j + 2u * VECTORS_TILE], tileW[at$j + 3u * VECTORS_TILE]);
#endfor
#for i ROW_VECTORS
      let a$i = tileX[(ty + 16u * $iu) * 4u + k];
#for j COLUMNS
      sum$i_$j += m$j * a$i;
#endfor
#endfor
    }
  }
#for i ROW_VECTORS
  if (firstRow + ty + 16u * $iu < dims.rows) {
    let row = firstRow + ty + 16u * $iu;
#if SPLIT
#for j COLUMNS
    if (firstVector + tx + 16u * $ju < BLOCKS_N) {
      scratch0[partialIndex(split, row, (firstVector + tx + 16u * $ju) * 4u)] = sum$i_$j;
    }
#endfor
#elif GATED
    if (firstVector * 2u + tx * 4u < N) {
      finish(row, firstVector * 2u + tx * 4u, sum$i_0, sum$i_1);
    }
#else
#for j COLUMNS
    if ((firstVector + tx + 16u * $ju) * 4u < N) {
      finish(row, (firstVector + tx + 16u * $ju) * 4u, sum$i_$j, vec4f());
    }
#endfor
#endif
  }
#endfor
}
