// The most arithmetic that a device does: sums in registers that nothing waits for, again and again. For rooflines.
// Variants: KIND matrix (16x16x16 subgroup matrices, f16 in, f32 sums: a 64x64 tile a subgroup), f16 or f32 (vectors of 4).
#if KIND == matrix
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
#elif KIND == f16
enable f16;
#endif
struct Dims { repeats: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

#if KIND == matrix
// Only for their types: the values do not matter, but compilers must not know them.
var<workgroup> left: array<f16, 1024>;
var<workgroup> right: array<f16, 1024>;
var<workgroup> sums: array<f32, 1024>;

@compute @workgroup_size(128)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  for (var i = lane; i < 1024u; i += 128u) {
    left[i] = f16(i % 7u) * f16(1e-3);
    right[i] = f16(i % 5u) * f16(1e-3);
  }
  workgroupBarrier();
#for i 4
  let a$i = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&left, $iu * 256u, 16u);
  let b$i = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&right, $iu * 256u, 16u);
  var c$i0: subgroup_matrix_result<f32, 16, 16>;
  var c$i1: subgroup_matrix_result<f32, 16, 16>;
  var c$i2: subgroup_matrix_result<f32, 16, 16>;
  var c$i3: subgroup_matrix_result<f32, 16, 16>;
#endfor
  for (var n = 0u; n < dims.repeats; n++) {
#for i 4
    c$i0 = subgroupMatrixMultiplyAccumulate(a$i, b0, c$i0);
    c$i1 = subgroupMatrixMultiplyAccumulate(a$i, b1, c$i1);
    c$i2 = subgroupMatrixMultiplyAccumulate(a$i, b2, c$i2);
    c$i3 = subgroupMatrixMultiplyAccumulate(a$i, b3, c$i3);
#endfor
  }
  // All sums are used, or they would not be made.
  let at = lane / 32u * 256u;
  var total = 0.0;
#for i 4
#for j 4
  subgroupMatrixStore<row_major>(&sums, at, c$i$j, 16u);
  workgroupBarrier();
  total += sums[at + lane % 32u];
  workgroupBarrier();
#endfor
#endfor
  y[group.x * 128u + lane] = total;
}
#else
#if KIND == f16
alias T = vec4<f16>;
#else
alias T = vec4f;
#endif

@compute @workgroup_size(128)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
#for i 8
  var v$i = T(vec4f(f32(lane + $iu) * 1e-3));
#endfor
  // Neither known to compilers, nor does it grow.
  let scale = T(vec4f(1.0 - 1.0 / f32(dims.repeats + 2u)));
  let shift = T(vec4f(1e-3));
  for (var n = 0u; n < dims.repeats; n++) {
#for i 8
    v$i = fma(v$i, scale, shift);
#endfor
  }
  let total = v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7;
  y[group.x * 128u + lane] = f32(total.x + total.y + total.z + total.w);
}
#endif
