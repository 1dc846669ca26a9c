// Convolution and linear layers as an implicit GEMM on subgroup matrices: f16 in, f32 sums, 16x16x16 (NVIDIA, 32 lanes).
// WM x WN subgroups a workgroup, SM x SN matrices each. Both operands are staged through f16 workgroup tiles, 32 of the sum
// at a time, rows padded by 8; the next step is loaded from memory while one is multiplied. Sums leave through workgroup
// memory, 16 columns at a time, because matrices cannot be read element by element.
//
// x [rows.., C1] (and x2 [.., C2], read as concatenated) with channels in multiples of 8, weight packed as `rows`, gates (GEGLU)
// 8 columns apart so that a matrix holds both, epilogue of lib/epilogue.wgsl.
// Variants: CONV or linear, TWO_SOURCES, tile sizes, SPLIT (the sum is split over workgroups, gemm-reduce.wgsl finishes).
//
// Why this one (H100, Dawn/Vulkan, 76 shapes tried as plain GEMMs): staged beats loading matrices from storage by 3 to 20 times;
// 64x64 and 64x80 a subgroup in 2 x 2 subgroups gave 161 to 209 TFLOP/s; f16 sums gain nothing.
#include "lib/flat.wgsl"
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
#if CONV
struct Dims { rows: u32, groupsM: u32, splits: u32, partRows: u32, imageRows: u32, height: u32, width: u32, outHeight: u32, outWidth: u32 }
#else
struct Dims { rows: u32, groupsM: u32, splits: u32, partRows: u32 }
#endif
@group(0) @binding(0) var<uniform> dims: Dims;
// Eight f16 in a vec4<u32>: 16-byte loads.
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
#if TWO_SOURCES
@group(0) @binding(2) var<storage, read> x2: array<vec4u>;
#endif
@group(0) @binding(3) var<storage, read> weight: array<vec4u>;
#include "lib/gemm-source.wgsl"
#if SPLIT
@group(0) @binding(9) var<storage, read_write> scratch0: array<f32>;
#else
#include "lib/epilogue.wgsl"
var<workgroup> tileY: array<f32, SUBGROUPS_M * SUBGROUPS_N * SM * 256u>;
#endif

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

const PITCH: u32 = 40u;
const THREADS: u32 = SUBGROUPS_M * SUBGROUPS_N * 32u;
var<workgroup> tileX: array<f16, SUBGROUPS_M * SM * 16u * PITCH>;
var<workgroup> tileW: array<f16, SUBGROUPS_N * SN * 16u * PITCH>;

fn loadSource(corner: Corner, step: u32, k: u32) -> vec4u {
  let at = step * 4u + k;
  let pixel = select(-1, pixelAt(corner, at / (V1 + V2)), at < DEPTH);
  let base = u32(max(pixel, 0));
  let c = at % (V1 + V2);
#if TWO_SOURCES
  var value: vec4u;
  if (c < V1) {
    value = x[base * V1 + c];
  } else {
    value = x2[base * V2 + c - V1];
  }
#else
  let value = x[base * V1 + c];
#endif
  return select(vec4u(), value, pixel >= 0);
}

fn loadWeight(row: u32, step: u32, k: u32) -> vec4u {
  return weight[min(row, PACKED_ROWS - 1u) * (STEPS * 4u) + min(step, STEPS - 1u) * 4u + k];
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let flat = flatIndex(group, groups);
  let firstColumn = flat % GROUPS_N * (SUBGROUPS_N * SN * 16u);
  let firstRow = flat / GROUPS_N % dims.groupsM * (SUBGROUPS_M * SM * 16u);
  let split = flat / (GROUPS_N * dims.groupsM);
  if (split >= dims.splits) {
    return;
  }
  let subgroup = lane / 32u;
  let rowOffset = subgroup / SUBGROUPS_N * (SM * 16u);
  let columnOffset = subgroup % SUBGROUPS_N * (SN * 16u);
#for i LOADS_X
  let corner$i = cornerOf(firstRow + lane / 4u + THREADS / 4u * $iu);
#endfor
#for i SM
#for j SN
  var sum$i_$j: Sum;
#endfor
#endfor
  let firstStep = split * STEPS / dims.splits;
  let lastStep = (split + 1u) * STEPS / dims.splits;
#for i LOADS_X
  var x$i = loadSource(corner$i, firstStep, lane % 4u);
#endfor
#for i LOADS_W
  var w$i = loadWeight(firstColumn + lane / 4u + THREADS / 4u * $iu, firstStep, lane % 4u);
#endfor
  for (var step = firstStep; step < lastStep; step++) {
    workgroupBarrier();
#for i LOADS_X
    {
      let at = (lane / 4u + THREADS / 4u * $iu) * PITCH + lane % 4u * 8u;
#for e 4
      let pair$e = bitcast<vec2<f16>>(x$i[$e]);
      tileX[at + 2u * $eu] = pair$e.x;
      tileX[at + 2u * $eu + 1u] = pair$e.y;
#endfor
    }
#endfor
#for i LOADS_W
    {
      let at = (lane / 4u + THREADS / 4u * $iu) * PITCH + lane % 4u * 8u;
#for e 4
      let pair$e = bitcast<vec2<f16>>(w$i[$e]);
      tileW[at + 2u * $eu] = pair$e.x;
      tileW[at + 2u * $eu + 1u] = pair$e.y;
#endfor
    }
#endfor
    workgroupBarrier();
#for i LOADS_X
    x$i = loadSource(corner$i, step + 1u, lane % 4u);
#endfor
#for i LOADS_W
    w$i = loadWeight(firstColumn + lane / 4u + THREADS / 4u * $iu, step + 1u, lane % 4u);
#endfor
#for k 2
    {
#for i SM
      let a$i = subgroupMatrixLoad<Left, row_major>(&tileX, (rowOffset + 16u * $iu) * PITCH + 16u * $ku, PITCH);
#endfor
#for j SN
      let b$j = subgroupMatrixLoad<Right, col_major>(&tileW, (columnOffset + 16u * $ju) * PITCH + 16u * $ku, PITCH);
#for i SM
      sum$i_$j = subgroupMatrixMultiplyAccumulate(a$i, b$j, sum$i_$j);
#endfor
#endfor
    }
#endfor
  }
#if SPLIT
#for i SM
#for j SN
  subgroupMatrixStore<row_major>(&scratch0, (split * dims.partRows + firstRow + rowOffset + 16u * $iu) * PACKED_N + firstColumn + columnOffset + 16u * $ju, sum$i_$j, PACKED_N);
#endfor
#endfor
#else
  let base = subgroup * (SM * 256u);
#for j SN
  workgroupBarrier();
#for i SM
  subgroupMatrixStore<row_major>(&tileY, base + 256u * $iu, sum$i_$j, 16u);
#endfor
  workgroupBarrier();
#if GATED
  for (var e = lane % 32u; e < SM * 32u; e += 32u) {
    let at = base + e / 2u * 16u + e % 2u * 4u;
    let sum = vec4f(tileY[at], tileY[at + 1u], tileY[at + 2u], tileY[at + 3u]);
    let gate = vec4f(tileY[at + 8u], tileY[at + 9u], tileY[at + 10u], tileY[at + 11u]);
    let row = firstRow + rowOffset + e / 2u;
    let column = (firstColumn + columnOffset) / 2u + 8u * $ju + e % 2u * 4u;
    if (row < dims.rows && column < N) {
      finish(row, column, sum, gate);
    }
  }
#else
  for (var e = lane % 32u; e < SM * 64u; e += 32u) {
    let at = base + e * 4u;
    let sum = vec4f(tileY[at], tileY[at + 1u], tileY[at + 2u], tileY[at + 3u]);
    let row = firstRow + rowOffset + e / 4u;
    let column = firstColumn + columnOffset + 16u * $ju + e % 4u * 4u;
    if (row < dims.rows && column < N) {
      finish(row, column, sum, vec4f());
    }
  }
#endif
#endfor
#endif
}
