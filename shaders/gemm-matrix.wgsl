// Convolution and linear layers as an implicit GEMM on subgroup matrices: f16 in, f32 sums, 16x16x16 (NVIDIA, 32 lanes).
// SUBGROUPS_M x SUBGROUPS_N subgroups a workgroup, SM x SN matrices each. Both operands are staged through workgroup memory,
// 32 of the sum at a time; the next step is loaded from memory while one is multiplied. Sums leave through workgroup
// memory, 16 rows at a time, because matrices cannot be read element by element.
//
// x [rows.., C1] (and x2 [.., C2], read as concatenated) with channels in multiples of 8, weight packed as `rows`, gates (GEGLU)
// 8 columns apart so that a matrix holds both. Variants: CONV or linear, GATED, SPLIT (the sum is split over workgroups,
// gemm-reduce.wgsl finishes), tile sizes. All else is in Dims: a variant takes the driver a tenth of a second or more.
//
// Why this one (H100, Dawn/Vulkan, driver 580; TFLOP/s of 8192x1920x640, 2048x10240x1280 gated, 8192x640x2560):
//   103, 122, 123  f16 workgroup arrays stored value by value, sizes as constants, finished sums in memory of their own:
//                  50 pipelines for SD1.5, 0.8 s each, which the driver hardly compiles in parallel
//    95, 119, 114  vec4u arrays, sizes in Dims, one copy of loads and epilogue: 11 pipelines, 0.11 s each
//   163, 202, 189  finished sums in the tiles' memory (44 to 23 KiB a workgroup)
// Slower: two tiles of each in turn (96, 120, 114), 64x32 a subgroup (142, 152, 131), 256 threads (124, 152, 93).
// As plain GEMMs, 76 shapes: staged beats loading matrices from storage by 3 to 20 times; f16 sums gain nothing.
#include "lib/flat.wgsl"
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
// v1, v2: vectors of 8 channels of each source. columns: of the output. biased, rowed, added: what the epilogue adds.
struct Dims { rows: u32, columns: u32, groupsM: u32, groupsN: u32, steps: u32, splits: u32, partRows: u32, partColumns: u32, weightRows: u32, v1: u32, v2: u32, imageRows: u32, height: u32, width: u32, outHeight: u32, outWidth: u32, kernelHeight: u32, kernelWidth: u32, stride: u32, padTop: u32, padLeft: u32, upsample: u32, biased: u32, rowed: u32, added: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
// Eight f16 in a vec4<u32>: 16-byte loads.
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
#if CONV
@group(0) @binding(2) var<storage, read> x2: array<vec4u>;
#endif
@group(0) @binding(3) var<storage, read> weight: array<vec4u>;
#if SPLIT
@group(0) @binding(9) var<storage, read_write> scratch0: array<f32>;
#else
alias V = vec4f;
#include "lib/activation.wgsl"
@group(0) @binding(4) var<storage, read_write> y: array<vec4<y_t>>;
@group(0) @binding(5) var<storage, read> bias: array<vec4<bias_t>>;
@group(0) @binding(6) var<storage, read> rows: array<vec4<rows_t>>;
@group(0) @binding(7) var<storage, read> rowIndex: array<i32>;
@group(0) @binding(8) var<storage, read> residual: array<vec4<residual_t>>;
// Finishes four neighbouring columns of a row; `gate` holds the sums of the gates if GATED.
fn finish(row: u32, column: u32, sum: vec4f, gate: vec4f) {
  var v = sum;
  if (dims.biased != 0u) {
    v += vec4f(bias[column / 4u]);
  }
  if (dims.rowed != 0u) {
    var image = row / dims.imageRows;
    if (dims.rowed == 2u) {
      image = u32(rowIndex[image]);
    }
    v += vec4f(rows[(image * dims.columns + column) / 4u]);
  }
#if GATED
  var g = gate;
  if (dims.biased != 0u) {
    g += vec4f(bias[(dims.columns + column) / 4u]);
  }
  v *= gelu(g);
#endif
  let at = (row * dims.columns + column) / 4u;
  if (dims.added == 1u) {
    v += vec4f(residual[at]);
  } else if (dims.added == 2u) {
    // The output took the residual's place.
    v += vec4f(y[at]);
  }
  y[at] = vec4<y_t>(activate(v));
}
#endif

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

// Vectors between rows of a tile; odd, so that eight rows are in different banks.
const PITCH: u32 = 5u;
const THREADS: u32 = SUBGROUPS_M * SUBGROUPS_N * 32u;
const TILE_W: u32 = SUBGROUPS_M * SM * 16u * PITCH;
// Vectors between rows of a subgroup's finished sums.
const PITCH_Y: u32 = SN * 4u + 1u;
// Tiles of x and of the weight; in the end, 16 rows of finished sums of each subgroup.
var<workgroup> tile: array<vec4u, max(TILE_W + SUBGROUPS_N * SN * 16u * PITCH, SUBGROUPS_M * SUBGROUPS_N * 16u * PITCH_Y)>;

// A place in the sum: vector of a tap's channels, line and column of the tap.
struct Place { vector: u32, line: u32, column: u32 }

fn advance(start: Place, vectors: u32) -> Place {
  var place = start;
  place.vector += vectors;
  while (place.vector >= dims.v1 + dims.v2) {
    place.vector -= dims.v1 + dims.v2;
    place.column++;
    if (place.column == dims.kernelWidth) {
      place.column = 0u;
      place.line++;
    }
  }
  return place;
}

#if CONV
// Image, top and left of the filter over the input as the filter sees it: doubled if upsampled.
alias Corner = vec3i;

fn cornerOf(row: u32) -> Corner {
  let image = row / dims.imageRows;
  let line = row / dims.outWidth - image * dims.outHeight;
  let top = i32(line * dims.stride) - i32(dims.padTop);
  let left = i32(row % dims.outWidth * dims.stride) - i32(dims.padLeft);
  return vec3i(i32(image), select(-0x1000000, top, row < dims.rows), left);
}

fn loadSource(corner: Corner, place: Place) -> vec4u {
  let line = u32(corner.y + i32(place.line));
  let column = u32(corner.z + i32(place.column));
  let inside = (line < dims.height << dims.upsample) & (column < dims.width << dims.upsample) & (place.line < dims.kernelHeight);
  let pixel = select(0u, (u32(corner.x) * dims.height + (line >> dims.upsample)) * dims.width + (column >> dims.upsample), inside);
  var value: vec4u;
  if (place.vector < dims.v1) {
    value = x[pixel * dims.v1 + place.vector];
  } else {
    value = x2[pixel * dims.v2 + place.vector - dims.v1];
  }
  return select(vec4u(), value, inside);
}
#else
alias Corner = u32;

fn cornerOf(row: u32) -> Corner {
  return min(row, dims.rows - 1u) * dims.v1;
}

// Rows below the last are not stored, and weights of the padded sum are zeros.
fn loadSource(corner: Corner, place: Place) -> vec4u {
  return select(vec4u(), x[corner + place.vector], place.line == 0u);
}
#endif

fn loadWeight(row: u32, step: u32, part: u32) -> vec4u {
  return weight[(min(row, dims.weightRows - 1u) * dims.steps + min(step, dims.steps - 1u)) * 4u + part];
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let flat = flatIndex(group, groups);
  let firstColumn = flat % dims.groupsN * (SUBGROUPS_N * SN * 16u);
  let firstRow = flat / dims.groupsN % dims.groupsM * (SUBGROUPS_M * SM * 16u);
  let split = flat / (dims.groupsN * dims.groupsM);
  if (split >= dims.splits) {
    return;
  }
  let subgroup = lane / 32u;
  let rowOffset = subgroup / SUBGROUPS_N * (SM * 16u);
  let columnOffset = subgroup % SUBGROUPS_N * (SN * 16u);
  // What this lane stages: rows 0 and 4, 1 and 5 ... of eight side by side, so that stores are free of bank conflicts.
  let line = subgroup * 8u + lane / 8u % 4u + lane / 4u % 2u * 4u;
  let part = lane % 4u;
#for i LOADS_X
  let corner$i = cornerOf(firstRow + line + THREADS / 4u * $iu);
#endfor
#for i SM
#for j SN
  var sum$i_$j = Sum();
#endfor
#endfor
  let firstStep = split * dims.steps / dims.splits;
  let lastStep = (split + 1u) * dims.steps / dims.splits;
  var place = advance(Place(), firstStep * 4u + part);
  // Each round loads a step, multiplies the one before, and stages what it loaded.
  for (var step = firstStep; true; step++) {
#for i LOADS_X
    let x$i = loadSource(corner$i, place);
#endfor
#for i LOADS_W
    let w$i = loadWeight(firstColumn + line + THREADS / 4u * $iu, step, part);
#endfor
    place = advance(place, 4u);
    if (step != firstStep) {
#for k 2
      {
#for i SM
        let a$i = subgroupMatrixLoad<Left, row_major>(&tile, (rowOffset + 16u * $iu) * PITCH + 2u * $ku, PITCH);
#endfor
#for j SN
        let b$j = subgroupMatrixLoad<Right, col_major>(&tile, TILE_W + (columnOffset + 16u * $ju) * PITCH + 2u * $ku, PITCH);
#for i SM
        sum$i_$j = subgroupMatrixMultiplyAccumulate(a$i, b$j, sum$i_$j);
#endfor
#endfor
      }
#endfor
    }
    if (step == lastStep) {
      break;
    }
    workgroupBarrier();
#for i LOADS_X
    tile[(line + THREADS / 4u * $iu) * PITCH + part] = x$i;
#endfor
#for i LOADS_W
    tile[TILE_W + (line + THREADS / 4u * $iu) * PITCH + part] = w$i;
#endfor
    workgroupBarrier();
  }
#if SPLIT
#for i SM
#for j SN
  subgroupMatrixStore<row_major>(&scratch0, (split * dims.partRows + firstRow + rowOffset + 16u * $iu) * dims.partColumns + firstColumn + columnOffset + 16u * $ju, sum$i_$j, dims.partColumns);
#endfor
#endfor
#else
  let base = subgroup * (16u * PITCH_Y);
  for (var i = 0u; i < SM; i++) {
    workgroupBarrier();
    switch (i) {
#for i SM
      case $i: {
#for j SN
        subgroupMatrixStore<row_major>(&tile, base + 4u * $ju, sum$i_$j, PITCH_Y);
#endfor
      }
#endfor
      default: {
      }
    }
    workgroupBarrier();
#if GATED
    for (var e = lane % 32u; e < SN * 32u; e += 32u) {
      let at = base + e / (SN * 2u) * PITCH_Y + e % (SN * 2u) / 2u * 4u + e % 2u;
      let row = firstRow + rowOffset + 16u * i + e / (SN * 2u);
      let column = (firstColumn + columnOffset) / 2u + e % (SN * 2u) * 4u;
      if (row < dims.rows && column < dims.columns) {
        finish(row, column, bitcast<vec4f>(tile[at]), bitcast<vec4f>(tile[at + 2u]));
      }
    }
#else
    for (var e = lane % 32u; e < SN * 64u; e += 32u) {
      let row = firstRow + rowOffset + 16u * i + e / (SN * 4u);
      let column = firstColumn + columnOffset + e % (SN * 4u) * 4u;
      if (row < dims.rows && column < dims.columns) {
        finish(row, column, bitcast<vec4f>(tile[base + e / (SN * 4u) * PITCH_Y + e % (SN * 4u)]), vec4f());
      }
    }
#endif
  }
#endif
}
