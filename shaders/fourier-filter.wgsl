// x + CHANGE * (what of x has the frequencies 0 and -1 of rows and columns). The four frequencies are seven real waves: 1, and
// cosine and sine of the row's angle, of the column's, and of their sum. A workgroup does 16 channels of an image: its 4 lanes
// a channel take turns at the positions, first to add up the waves' shares, then to write.
#include "lib/flat.wgsl"
#include "lib/sin-cos.wgsl"
struct Dims { height: u32, width: u32, blocks: u32, count: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<x_t>;
@group(0) @binding(2) var<storage, read_write> y: array<y_t>;
const TURN = 6.283185307179586;
var<workgroup> sums: array<array<f32, 7>, 64>;

// Sine and cosine of a pixel's angle along an axis; nothing where the axis has no other frequency.
fn wave(at: u32, size: u32) -> vec2f {
  return select(vec2f(0.0), sinCos(TURN * f32(at) / f32(size)), size > 1u);
}

fn waves(position: u32) -> array<f32, 7> {
  let a = wave(position / dims.width, dims.height);
  let b = wave(position % dims.width, dims.width);
  return array<f32, 7>(1.0, a.x, a.y, b.x, b.y, a.x * b.y + a.y * b.x, a.y * b.y - a.x * b.x);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = flatIndex(group, groups);
  let image = block / dims.blocks;
  let channel = block % dims.blocks * 16u + lane % 16u;
  let positions = dims.height * dims.width;
  let first = image * positions;
  let isMine = channel < CHANNELS && block < dims.count;
  var shares = array<f32, 7>();
  if (isMine) {
    for (var position = lane / 16u; position < positions; position += 4u) {
      let value = f32(x[(first + position) * CHANNELS + channel]);
      var parts = waves(position);
      for (var k = 0u; k < 7u; k++) {
        shares[k] += value * parts[k];
      }
    }
  }
  sums[lane] = shares;
  workgroupBarrier();
  for (var k = 0u; k < 7u; k++) {
    let column = lane % 16u;
    shares[k] = sums[column][k] + sums[column + 16u][k] + sums[column + 32u][k] + sums[column + 48u][k];
  }
  if (isMine) {
    for (var position = lane / 16u; position < positions; position += 4u) {
      var parts = waves(position);
      var share = 0.0;
      for (var k = 0u; k < 7u; k++) {
        share += shares[k] * parts[k];
      }
      let at = (first + position) * CHANNELS + channel;
      y[at] = y_t(f32(x[at]) + CHANGE * share / f32(positions));
    }
  }
}
