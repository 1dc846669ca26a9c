// Group norm in one dispatch, for groups small enough: a workgroup has a group of an image, walks it twice and leaves
// (x - mean) / sqrt(variance + eps) * weight + bias, activated. A thread keeps to one vector of WIDTH channels and goes from
// position to position, four at a time so that loads overlap. Sums are taken about the group's first element: E[x^2] - E[x]^2
// alone would cancel where the mean is large.
//
// Sizes are in Dims, so that a model needs few pipelines: by number of sources and WIDTH. ACTIVATION follows where activated.
//
// Why this one (H100, us; this with 512 or 1024 threads, group-norm.wgsl's three dispatches): 32x32x640 8, 15; 16x16x1280 5, 12;
// 64x64x960 30, 44; 64x64x1920 60, 75; 128x128x512 39, 52. With few channels a group memory is read in pieces: 64x64x320 21, 21;
// 128x128x320 79, 52; 256x256x256 149, 83; 512x512x128 597, 140.
// Twelve positions at a time, held so that small groups are read once, are slower among a step's other kernels (8x8x1280 9 us for 5, 32x32x640
// 10 for 9): what counts there is the code, which is in no instruction cache when a kernel begins. 21 by 1024 threads: 64x64x320 18 for 21.
#include "lib/flat.wgsl"
#include "lib/sum-lanes.wgsl"
// vectors, v1: of all channels, of those in x. groupVectors: of a group. stride: positions that the workgroup takes at a time.
struct Dims { workgroups: u32, groups: u32, positions: u32, vectors: u32, v1: u32, groupVectors: u32, stride: u32, activated: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
#if WIDTH == 4
alias V = vec4f;
alias X = vec4<x_t>;
#if TWO_SOURCES
alias X2 = vec4<x2_t>;
#endif
alias W = vec4<weight_t>;
alias Y = vec4<y_t>;
#else
alias V = vec2f;
alias X = vec2<x_t>;
#if TWO_SOURCES
alias X2 = vec2<x2_t>;
#endif
alias W = vec2<weight_t>;
alias Y = vec2<y_t>;
#endif
#include "lib/activation.wgsl"
@group(0) @binding(1) var<storage, read> x: array<X>;
#if TWO_SOURCES
@group(0) @binding(2) var<storage, read> x2: array<X2>;
#endif
@group(0) @binding(3) var<storage, read> weight: array<W>;
@group(0) @binding(4) var<storage, read> bias: array<W>;
@group(0) @binding(5) var<storage, read_write> y: array<Y>;

fn readAt(position: u32, vector: u32) -> V {
#if TWO_SOURCES
  if (vector >= dims.v1) {
    return V(x2[position * (dims.vectors - dims.v1) + vector - dims.v1]);
  }
#endif
  return V(x[position * dims.v1 + vector]);
}

fn finish(v: V) -> V {
  if (dims.activated == 0u) {
    return v;
  }
  return activate(v);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let flat = flatIndex(group, groups);
  if (flat >= dims.workgroups) {
    return;
  }
  let first = flat / dims.groups * dims.positions;
  let last = first + dims.positions;
  let begin = flat % dims.groups * dims.groupVectors;
  let vector = begin + lane % dims.groupVectors;
  // Threads left over when the workgroup is no multiple of a group's vectors have nothing to do.
  let start = select(last, first + lane / dims.groupVectors, lane < dims.stride * dims.groupVectors);
  let shift = readAt(first, begin).x;
  var sum = V();
  var squares = V();
  var position = start;
  for (; position + 3u * dims.stride < last; position += 4u * dims.stride) {
#for i 4
    let d$i = readAt(position + $iu * dims.stride, vector) - shift;
#endfor
#for i 4
    sum += d$i;
    squares += d$i * d$i;
#endfor
  }
  for (; position < last; position += dims.stride) {
    let d = readAt(position, vector) - shift;
    sum += d;
    squares += d * d;
  }
  let count = f32(dims.positions * dims.groupVectors * WIDTH);
  let offset = sumLanes(dot(sum, V(1.0)), lane) / count;
  let variance = sumLanes(dot(squares, V(1.0)), lane) / count - offset * offset;
  let scale = V(weight[vector]) * inverseSqrt(max(variance, 0.0) + EPS);
  let base = V(bias[vector]) - (shift + offset) * scale;
  position = start;
  for (; position + 3u * dims.stride < last; position += 4u * dims.stride) {
#for i 4
    let v$i = readAt(position + $iu * dims.stride, vector);
#endfor
#for i 4
    y[(position + $iu * dims.stride) * dims.vectors + vector] = Y(finish(v$i * scale + base));
#endfor
  }
  for (; position < last; position += dims.stride) {
    y[position * dims.vectors + vector] = Y(finish(readAt(position, vector) * scale + base));
  }
}
