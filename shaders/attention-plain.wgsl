// Scaled dot-product attention with an online softmax, a thread a query of a head and a number at a time: for heads whose
// channels do not come in fours (small models for tests have such), or are too many for a thread's registers on a GPU with
// little workgroup memory. Nothing here is fast.
// q, k and v have rows of Q_, K_ and V_WIDTH and begin at *_OFFSET. Variants: CAUSAL, BIAS.
#include "lib/flat.wgsl"
#if BIAS
struct Dims { count: u32, queries: u32, keys: u32, channels: u32, biasBatch: u32, biasKey: u32, biasQuery: u32, biasHead: u32 }
#else
struct Dims { count: u32, queries: u32, keys: u32, channels: u32 }
#endif
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> q: array<q_t>;
@group(0) @binding(2) var<storage, read> k: array<k_t>;
@group(0) @binding(3) var<storage, read> v: array<v_t>;
@group(0) @binding(4) var<storage, read_write> y: array<y_t>;
#if BIAS
#include "lib/attention-bias.wgsl"
#endif

// Stands for minus infinity, which WGSL does not promise.
const HIDDEN: f32 = -1e30;

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
  let query = i % dims.queries;
  let head = i / dims.queries % HEADS;
  let image = i / dims.queries / HEADS;
  let fromQ = (image * dims.queries + query) * Q_WIDTH + Q_OFFSET + head * HEAD;
  var sums: array<f32, HEAD>;
  var largest = HIDDEN;
  var total = 0.0;
#if CAUSAL
  let end = min(dims.keys, query + 1u);
#else
  let end = dims.keys;
#endif
  for (var key = 0u; key < end; key++) {
    let row = image * dims.keys + key;
    let fromK = row * K_WIDTH + K_OFFSET + head * HEAD;
    var score = 0.0;
    // The count is a uniform, so that no compiler writes the loops out.
    for (var d = 0u; d < dims.channels; d++) {
      score += f32(q[fromQ + d]) * f32(k[fromK + d]);
    }
    score *= SCALE;
#if BIAS
    score += biasAt(image, head, key, query);
#endif
    let highest = max(largest, score);
    let fade = exp(largest - highest);
    let weight = exp(score - highest);
    largest = highest;
    total = total * fade + weight;
    let fromV = row * V_WIDTH + V_OFFSET + head * HEAD;
    for (var d = 0u; d < dims.channels; d++) {
      sums[d] = sums[d] * fade + weight * f32(v[fromV + d]);
    }
  }
  let out = ((image * dims.queries + query) * HEADS + head) * HEAD;
  for (var d = 0u; d < dims.channels; d++) {
    y[out + d] = y_t(sums[d] / total);
  }
}
