// Scaled dot-product attention with an online softmax (Milakov and Gimelshein 2018), for software adapters and devices with
// little workgroup memory: a thread makes 4 queries of a head, walks the keys 4 at a time and keeps everything in registers.
// No score matrix, no barriers. HEAD_VECTORS vec4 a head; q, k and v have rows of Q_, K_ and V_WIDTH and begin at *_OFFSET.
// Variants: CAUSAL, BIAS.
//
// Why this one: 4 queries as the columns of a mat4x4 share each load of k and v, which are gathers on SwiftShader. The loops
// over a head's channels are not written out, and have their count as a uniform so that no compiler does: that ran no
// faster, and took SwiftShader 4 s for heads of 48 (170 s for 512) and lavapipe 10 s (over 100 s for 128), against 0.3 s.
#include "lib/flat.wgsl"
#if BIAS
struct Dims { count: u32, tiles: u32, queries: u32, keys: u32, vectors: u32, biasBatch: u32, biasKey: u32, biasQuery: u32, biasHead: u32 }
#else
struct Dims { count: u32, tiles: u32, queries: u32, keys: u32, vectors: u32 }
#endif
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> q: array<vec4<q_t>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<k_t>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<v_t>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<y_t>>;
#if BIAS
#include "lib/attention-bias.wgsl"
#endif

// Stands for minus infinity, which WGSL does not promise.
const HIDDEN: f32 = -1e30;

fn scaleColumns(m: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(m[0] * by.x, m[1] * by.y, m[2] * by.z, m[3] * by.w);
}

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
  let query = i % dims.tiles * 4u;
  let head = i / dims.tiles % HEADS;
  let image = i / dims.tiles / HEADS;
  let last = dims.queries - 1u;
  // Columns are channels, rows the 4 queries: q * k gives a key's 4 scores.
  let row0 = (image * dims.queries + query) * Q_WIDTH + Q_OFFSET + head * HEAD_VECTORS;
  let row1 = row0 + min(1u, last - query) * Q_WIDTH;
  let row2 = row0 + min(2u, last - query) * Q_WIDTH;
  let row3 = row0 + min(3u, last - query) * Q_WIDTH;
  var scaled: array<mat4x4f, HEAD_VECTORS>;
  var sums: array<mat4x4f, HEAD_VECTORS>;
  for (var d = 0u; d < dims.vectors; d++) {
    scaled[d] = SCALE * transpose(mat4x4f(vec4f(q[row0 + d]), vec4f(q[row1 + d]), vec4f(q[row2 + d]), vec4f(q[row3 + d])));
  }
  let queries = vec4u(query, query + 1u, query + 2u, query + 3u);
  var largest = vec4f(HIDDEN);
  var weights = vec4f();
#if CAUSAL
  let end = min(dims.keys, query + 4u);
#else
  let end = dims.keys;
#endif
  for (var key = 0u; key < end; key += 4u) {
#for n 4
    let key$n = image * dims.keys + min(key + $nu, dims.keys - 1u);
    let k$n = key$n * K_WIDTH + K_OFFSET + head * HEAD_VECTORS;
    var score$n = vec4f();
#endfor
    for (var d = 0u; d < dims.vectors; d++) {
      let m = scaled[d];
#for n 4
      score$n += m * vec4f(k[k$n + d]);
#endfor
    }
#for n 4
#if BIAS
    score$n += biasesOf(image, head, key + $nu, queries);
#endif
#if CAUSAL
    score$n = select(vec4f(HIDDEN), score$n, queries >= vec4u(key + $nu));
#endif
    score$n = select(vec4f(HIDDEN), score$n, vec4<bool>(key + $nu < dims.keys));
#endfor
    let highest = max(largest, max(max(score0, score1), max(score2, score3)));
    let fade = exp(largest - highest);
    largest = highest;
    weights *= fade;
#for n 4
    let p$n = exp(score$n - highest);
    weights += p$n;
    let v$n = key$n * V_WIDTH + V_OFFSET + head * HEAD_VECTORS;
#endfor
    let shares = transpose(mat4x4f(p0, p1, p2, p3));
    for (var d = 0u; d < dims.vectors; d++) {
      let values = mat4x4f(vec4f(v[v0 + d]), vec4f(v[v1 + d]), vec4f(v[v2 + d]), vec4f(v[v3 + d]));
      sums[d] = scaleColumns(sums[d], fade) + values * shares;
    }
  }
  let out = (image * dims.queries + query) * HEADS * HEAD_VECTORS + head * HEAD_VECTORS;
  for (var d = 0u; d < dims.vectors; d++) {
    let sum = sums[d];
#for n 4
    if (query + $nu <= last) {
      y[out + $nu * HEADS * HEAD_VECTORS + d] = vec4<y_t>(sum[$n] / weights[$n]);
    }
#endfor
  }
}
