// A weight as low-rank adapters change it, in the layout that a kernel wants: base + sum of scale * up * down, in f32,
// rounded once. A thread makes 4 packed columns x 4 steps of the sum, so that each factor it loads counts four times;
// neighbouring threads write next to each other. Conversions are done on bits: what adapters do not change keeps every
// bit of its base on any device, subnormals and rounding of halves (to nearest even) included.
//
// tables: the stored row of each packed column; the part (of stacked weights) of each 4 columns; the stored position in
// a row of each packed step. NONE is padding. Variant without TERMS: weights are only packed. terms: for each part its
// first term, their number, its first 4 columns, and how many fours; for each term (rank, begin of up, begin of down,
// scale); then up [rank][columns of the part] and down [rank][steps] in vectors of four, both in the packed order, with
// zeros for padding: what neighbouring threads read is next to each other, or the same.
#include "lib/flat.wgsl"
struct Dims { blocks: u32, columnBlocks: u32, depthBlocks: u32, columns: u32, rowLength: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> base: array<u32>;
#if TERMS
@group(0) @binding(2) var<storage, read> terms: array<vec4u>;
#endif
@group(0) @binding(3) var<storage, read> tables: array<u32>;
@group(0) @binding(4) var<storage, read_write> packed: array<u32>;

const NONE = 0xffffffffu;

// The f32 bits of a float with fewer bits: `exponents` and `mantissas` of them, infinities as in IEEE 754.
fn widen(code: u32, exponents: u32, mantissas: u32) -> u32 {
  let sign = (code >> (exponents + mantissas)) << 31u;
  let most = (1u << exponents) - 1u;
  let exponent = (code >> mantissas) & most;
  let mantissa = code & ((1u << mantissas) - 1u);
  let bias = 127u - (most >> 1u);
  if (exponent == most) {
    return sign | 0x7f800000u | select(0x400000u | (mantissa << (23u - mantissas)), 0u, mantissa == 0u);
  }
  if (exponent > 0u) {
    return sign | ((exponent + bias) << 23u) | (mantissa << (23u - mantissas));
  }
  if (mantissa == 0u) {
    return sign;
  }
  let top = firstLeadingBit(mantissa);
  return sign | ((top + 1u + bias - mantissas) << 23u) | ((mantissa << (23u - top)) & 0x7fffffu);
}

// An element of the base as f32 bits.
fn stored(i: u32) -> u32 {
#if STORED == F32
  return base[i];
#elif STORED == F16
  return widen((base[i >> 1u] >> ((i & 1u) * 16u)) & 0xffffu, 5u, 10u);
#elif STORED == BF16
  return (base[i >> 1u] >> ((i & 1u) * 16u)) << 16u;
#else
  let code = (base[i >> 2u] >> ((i & 3u) * 8u)) & 0xffu;
#if STORED == F8_E5M2
  return widen(code, 5u, 2u);
#else
  // float8_e4m3fn: the top exponent holds numbers too, and NaN at its end.
  if ((code & 0x78u) == 0x78u) {
    let number = select(0x43800000u | ((code & 7u) << 20u), 0x7fc00000u, (code & 7u) == 7u);
    return ((code & 0x80u) << 24u) | number;
  }
  return widen(code, 4u, 3u);
#endif
#endif
}

// The half nearest to a number given by its f32 bits.
fn half(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return sign | 0x7e00u | ((magnitude >> 13u) & 0x1ffu);
  }
  if (magnitude >= 0x477ff000u) {
    return sign | 0x7c00u;
  }
  if (magnitude >= 0x38800000u) {
    return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
  }
  if (magnitude <= 0x33000000u) {
    return sign;
  }
  let shift = 126u - (magnitude >> 23u);
  let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  let kept = mantissa >> shift;
  let rest = mantissa & ((1u << shift) - 1u);
  let middle = 1u << (shift - 1u);
  return sign | select(kept, kept + 1u, rest > middle || (rest == middle && (kept & 1u) == 1u));
}

fn halves(low: u32, high: u32) -> u32 {
  return half(low) | (half(high) << 16u);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = flatIndex(group, groups) * 64u + lane;
  if (block >= dims.blocks) {
    return;
  }
#if LAYOUT == blocks
  let column = block % dims.columnBlocks;
  let step = block / dims.columnBlocks;
#else
  let column = block / dims.depthBlocks;
  let step = block % dims.depthBlocks;
#endif
  let positions = dims.columnBlocks * 5u + step * 4u;
#for s 4
  let position$s = tables[positions + $su];
  let from$s = select(position$s, 0u, position$s == NONE);
#endfor
#if TERMS
  let part = terms[tables[dims.columnBlocks * 4u + column]];
#endif
#for q 4
  let row$q = tables[column * 4u + $qu];
  let source$q = select(row$q, 0u, row$q == NONE);
#endfor
#if TERMS
#for q 4
  var sum$q = vec4f();
#endfor
  for (var t = part.x; t < part.x + part.y; t++) {
    let term = terms[t];
    let scale = bitcast<f32>(term.w);
    var up = term.y + column - part.z;
    var down = term.z + step;
    for (var r = 0u; r < term.x; r++) {
      let rows = scale * bitcast<vec4f>(terms[up]);
      let steps = bitcast<vec4f>(terms[down]);
#for q 4
      sum$q += rows[$q] * steps;
#endfor
      up += part.w;
      down += dims.depthBlocks;
    }
  }
#endif
#for q 4
#for s 4
  var bits$q$s = stored(source$q * dims.rowLength + from$s);
#if TERMS
  if (part.y > 0u) {
    bits$q$s = bitcast<u32>(bitcast<f32>(bits$q$s) + sum$q[$su]);
  }
#endif
  bits$q$s = select(bits$q$s, 0u, row$q == NONE || position$s == NONE);
#endfor
#endfor
#if LAYOUT == blocks
#if HALF
#for s 4
  packed[block * 8u + $su * 2u] = halves(bits0$s, bits1$s);
  packed[block * 8u + $su * 2u + 1u] = halves(bits2$s, bits3$s);
#endfor
#else
#for s 4
#for q 4
  packed[block * 16u + $su * 4u + $qu] = bits$q$s;
#endfor
#endfor
#endif
#else
#for q 4
  if (column * 4u + $qu < dims.columns) {
    let at = (column * 4u + $qu) * dims.depthBlocks + step;
#if HALF
    packed[at * 2u] = halves(bits$q0, bits$q1);
    packed[at * 2u + 1u] = halves(bits$q2, bits$q3);
#else
#for s 4
    packed[at * 4u + $su] = bits$q$s;
#endfor
#endif
  }
#endfor
#endif
}
