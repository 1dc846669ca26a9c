// Token embedding, plus position embedding if POSITIONS: y = table[ids] + positions[position]. Ids are clamped to the table's ROWS.
// A table that is larger than a binding is bound in parts, a launch each: dims.rows rows from dims.firstRow on.
#include "lib/flat.wgsl"
struct Dims { count: u32, tokens: u32, firstRow: u32, rows: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> ids: array<i32>;
#if UNPACK
// Pairs of halves, for devices without f16.
@group(0) @binding(2) var<storage, read> table: array<u32>;

fn embeddingAt(i: u32) -> f32 {
  return unpack2x16float(table[i / 2u])[i % 2u];
}
#if POSITIONS
@group(0) @binding(3) var<storage, read> positions: array<u32>;

fn positionAt(i: u32) -> f32 {
  return unpack2x16float(positions[i / 2u])[i % 2u];
}
#endif
#else
@group(0) @binding(2) var<storage, read> table: array<table_t>;

fn embeddingAt(i: u32) -> f32 {
  return f32(table[i]);
}
#if POSITIONS
@group(0) @binding(3) var<storage, read> positions: array<positions_t>;

fn positionAt(i: u32) -> f32 {
  return f32(positions[i]);
}
#endif
#endif
@group(0) @binding(4) var<storage, read_write> y: array<y_t>;

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
  let token = i / CHANNELS;
  let channel = i % CHANNELS;
  let id = min(u32(max(ids[token], 0)), ROWS - 1u);
  if (id < dims.firstRow || id >= dims.firstRow + dims.rows) {
    return;
  }
  var embedding = embeddingAt((id - dims.firstRow) * CHANNELS + channel);
#if POSITIONS
  embedding += positionAt(token % dims.tokens * CHANNELS + channel);
#endif
  y[i] = y_t(embedding);
}
