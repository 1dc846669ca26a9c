// Weights that are held as float8_e4m3fn, as their kernels read them: each code becomes the number that it stands for,
// exactly. A thread takes 4 codes; their order stays.
#include "lib/flat.wgsl"
struct Dims { count: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<u32>;
#if HALF
@group(0) @binding(2) var<storage, read_write> y: array<vec2u>;
#else
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
#endif

// The smallest numbers of float8 are not subnormal as f32 or f16, so nothing is flushed to zero here.
fn number(code: u32) -> f32 {
  let mantissa = code & 7u;
  let exponent = (code >> 3u) & 15u;
  let normal = ((exponent + 120u) << 23u) | (mantissa << 20u);
  let magnitude = select(bitcast<u32>(f32(mantissa) * 0.001953125), normal, exponent > 0u);
  let bits = select(magnitude, 0x7fc00000u, (code & 127u) == 127u);
  return bitcast<f32>(bits | ((code & 128u) << 24u));
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flatIndex(group, groups) * 256u + lane;
  if (i < dims.count) {
    let codes = x[i];
    let numbers = vec4f(
      number(codes & 255u),
      number((codes >> 8u) & 255u),
      number((codes >> 16u) & 255u),
      number(codes >> 24u),
    );
#if HALF
    y[i] = vec2u(pack2x16float(numbers.xy), pack2x16float(numbers.zw));
#else
    y[i] = numbers;
#endif
  }
}
