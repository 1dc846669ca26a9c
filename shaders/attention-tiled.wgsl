// Scaled dot-product attention through workgroup memory with an online softmax (the method of FlashAttention, Dao et al.
// 2022), for any GPU. 16 x 16 threads make 64 queries of a head and walk the keys 32 at a time: scores of 4 queries x 2 keys
// a thread from staged slices of 16 channels, then 4 queries x COLUMNS channels of the sum from staged rows of v.
// The row sums come for free while the scores are read back. The score matrix never leaves workgroup memory (18 KiB).
// q, k and v have rows of Q_, K_ and V_WIDTH and begin at *_OFFSET. Variants: CAUSAL, BIAS, SUBGROUPS (row maxima by shuffles).
#include "lib/flat.wgsl"
#if SUBGROUPS
enable subgroups;
#endif
#if BIAS
struct Dims { tiles: u32, batch: u32, queries: u32, keys: u32, biasBatch: u32, biasKey: u32, biasQuery: u32, biasHead: u32 }
#else
struct Dims { tiles: u32, batch: u32, queries: u32, keys: u32 }
#endif
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> q: array<vec4<q_t>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<k_t>>;
@group(0) @binding(3) var<storage, read> v: array<v_t>;
@group(0) @binding(4) var<storage, read_write> y: array<y_t>;
#if BIAS
#include "lib/attention-bias.wgsl"
#endif

// Stands for minus infinity, which WGSL does not promise.
const HIDDEN: f32 = -1e30;
const PADDED: u32 = COLUMNS * 16u;

// [channel][4 queries], [channel][key], [key][4 queries], [key][channel]
var<workgroup> tileQ: array<vec4f, 16 * 16>;
var<workgroup> tileK: array<f32, 16 * 32>;
var<workgroup> tileS: array<vec4f, 32 * 16>;
var<workgroup> tileV: array<f32, V_ROWS * PADDED>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let flat = flatIndex(group, groups);
  let firstQuery = flat % dims.tiles * 64u;
  let head = flat / dims.tiles % HEADS;
  let image = flat / dims.tiles / HEADS;
  if (image >= dims.batch) {
    return;
  }
  let tx = lane % 16u;
  let ty = lane / 16u;
  let queries = firstQuery + ty * 4u + vec4u(0u, 1u, 2u, 3u);
  var largest = vec4f(HIDDEN);
  var weights = vec4f();
#for j COLUMNS
  var sum$j = vec4f();
#endfor
#if CAUSAL
  let end = min(dims.keys, firstQuery + 64u);
#else
  let end = dims.keys;
#endif
  for (var firstKey = 0u; firstKey < end; firstKey += 32u) {
    var score0 = vec4f();
    var score1 = vec4f();
    for (var channel = 0u; channel < HEAD; channel += 16u) {
      workgroupBarrier();
      if (lane < 64u) {
        let c = channel + lane % 4u * 4u;
        let first = firstQuery + lane / 4u * 4u;
        let last = dims.queries - 1u;
        let base = Q_OFFSET + head * HEAD + min(c, HEAD - 4u);
#for n 4
        let q$n = vec4f(q[((image * dims.queries + min(first + $nu, last)) * Q_WIDTH + base) / 4u]);
#endfor
        let columns = transpose(mat4x4f(q0, q1, q2, q3)) * select(0.0, SCALE, c < HEAD);
#for n 4
        tileQ[(lane % 4u * 4u + $nu) * 16u + lane / 4u] = columns[$n];
#endfor
      } else if (lane < 192u) {
        let c = channel + lane % 4u * 4u;
        let key = lane / 4u - 16u;
        let row = image * dims.keys + min(firstKey + key, dims.keys - 1u);
        let value = select(vec4f(), vec4f(k[(row * K_WIDTH + K_OFFSET + head * HEAD + min(c, HEAD - 4u)) / 4u]), c < HEAD);
#for n 4
        tileK[(lane % 4u * 4u + $nu) * 32u + key] = value[$n];
#endfor
      }
      workgroupBarrier();
#for c 16
      {
        let rows = tileQ[$c * 16u + ty];
        score0 += rows * tileK[$c * 32u + tx];
        score1 += rows * tileK[$c * 32u + tx + 16u];
      }
#endfor
    }
    let key0 = firstKey + tx;
    let key1 = key0 + 16u;
#if BIAS
    score0 += biasesOf(image, head, key0, queries);
    score1 += biasesOf(image, head, key1, queries);
#endif
#if CAUSAL
    score0 = select(vec4f(HIDDEN), score0, queries >= vec4u(key0));
    score1 = select(vec4f(HIDDEN), score1, queries >= vec4u(key1));
#endif
    score0 = select(vec4f(HIDDEN), score0, vec4<bool>(key0 < dims.keys));
    score1 = select(vec4f(HIDDEN), score1, vec4<bool>(key1 < dims.keys));
#if SUBGROUPS
    var highest = max(score0, score1);
#for n 4
    highest = max(highest, subgroupShuffleXor(highest, 1u << $nu));
#endfor
    highest = max(highest, largest);
#else
    tileS[tx * 16u + ty] = max(score0, score1);
    workgroupBarrier();
    var highest = largest;
    for (var n = 0u; n < 16u; n++) {
      highest = max(highest, tileS[n * 16u + ty]);
    }
    workgroupBarrier();
#endif
    let fade = exp(largest - highest);
    largest = highest;
    weights *= fade;
#for j COLUMNS
    sum$j *= fade;
#endfor
    tileS[tx * 16u + ty] = exp(score0 - highest);
    tileS[(tx + 16u) * 16u + ty] = exp(score1 - highest);
    for (var part = 0u; part < 32u; part += V_ROWS) {
      for (var e = lane; e < V_ROWS * PADDED; e += 256u) {
        let row = image * dims.keys + min(firstKey + part + e / PADDED, dims.keys - 1u);
        tileV[e] = f32(v[row * V_WIDTH + V_OFFSET + head * HEAD + min(e % PADDED, HEAD - 1u)]);
      }
      workgroupBarrier();
      for (var n = 0u; n < V_ROWS; n++) {
        let p = tileS[(part + n) * 16u + ty];
        weights += p;
#for j COLUMNS
        sum$j += p * tileV[n * PADDED + tx + $ju * 16u];
#endfor
      }
      workgroupBarrier();
    }
  }
  let shares = 1.0 / weights;
#for n 4
  if (queries[$n] < dims.queries) {
    let row = (image * dims.queries + queries[$n]) * HEADS * HEAD + head * HEAD;
#for j COLUMNS
    if (tx + $ju * 16u < HEAD) {
      y[row + tx + $ju * 16u] = y_t(sum$j[$n] * shares[$n]);
    }
#endfor
  }
#endfor
}
