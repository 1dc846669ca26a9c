// First pass of a group norm: mean and sum of squares about it, for each channel over a chunk of positions.
// scratch0 is [image][chunk][mean, squares][channel]. A thread has a vector of channels and walks the chunk's positions, so
// neighbours read neighbouring memory, groups of any size work, and there is no barrier. Sums are taken about the first
// element: E[x^2] - E[x]^2 alone would cancel where the mean is large.
#include "lib/flat.wgsl"
struct Dims { count: u32, positions: u32, chunks: u32, chunk: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
#include "lib/group-norm-source.wgsl"
@group(0) @binding(3) var<storage, read_write> scratch0: array<V>;

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
  let vector = i % VECTORS;
  let part = i / VECTORS;
  let image = part / dims.chunks;
  let first = part % dims.chunks * dims.chunk;
  let last = min(first + dims.chunk, dims.positions);
  let shift = readAt(image * dims.positions + first, vector);
  var sum = V();
  var squares = V();
  for (var position = first; position < last; position++) {
    let d = readAt(image * dims.positions + position, vector) - shift;
    sum += d;
    squares += d * d;
  }
  let mean = sum / f32(last - first);
  scratch0[part * 2u * VECTORS + vector] = shift + mean;
  scratch0[part * 2u * VECTORS + VECTORS + vector] = squares - sum * mean;
}
