// Sinusoidal timestep embedding: CHANNELS / 2 sines and as many cosines of t * FREQUENCIES for each number of t.
// The frequencies are computed on the host, rounded where torch rounds: an error of 1e-6 in one turns an angle of 1000 by 1e-3.
#include "lib/flat.wgsl"
#include "lib/sin-cos.wgsl"
struct Dims { count: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<y_t>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flatIndex(group, groups) * 64u + lane;
  if (i >= dims.count) {
    return;
  }
  var frequencies = FREQUENCIES;
  let channel = i % CHANNELS;
  let both = sinCos(t[i / CHANNELS] * frequencies[channel % (CHANNELS / 2u)]);
#if COSINES_FIRST
  y[i] = y_t(select(both.x, both.y, channel < CHANNELS / 2u));
#else
  y[i] = y_t(select(both.y, both.x, channel < CHANNELS / 2u));
#endif
}
