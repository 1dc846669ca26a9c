// Scaled dot-product attention on subgroup matrices: f16 in, f32 sums, 16x16x16 (NVIDIA, 32 lanes), with an online softmax
// (the method of FlashAttention, Dao et al. 2022). Each of SUBGROUPS subgroups keeps QM x 16 queries of a head and their
// sums in matrices; the workgroup walks the keys KN x 16 at a time, keys and values staged in workgroup memory.
//
// Matrices cannot be read element by element, so scores pass through workgroup memory: stored as f32, read back a row (or
// half a row) a lane, weighed, packed to f16 and loaded as the left operand of the second product. Nor can a matrix be
// scaled row by row, so sums are kept relative to a reference that is the row's largest score at first, and rescaled
// (through workgroup memory) only if a weight would pass 2^15, near the end of f16. Two barriers and a vote a step:
//   scores of step i | barrier | weights of step i; keys of i + 1 and values of i are staged | barrier, vote | sums
//
// q, k and v have rows of Q_, K_ and V_VECTORS vectors of 8 channels and begin at *_OFFSET; a head has D vectors, padded with
// zeros to DM matrices. Tiles are vectors of 16 bytes; their pitches make all accesses free of bank conflicts but the store of scores.
//
// Why this one (H100, Dawn/Vulkan, driver 580; QM x SUBGROUPS x KN, TFLOP/s at 4096 tokens, alone and again and again):
//   heads of 40: attention-tiled 15; 2x4x1 103, 1x8x2 81, 1x4x2 76, 2x4x2 68, 1x4x4 56, 2x2x4 47
//   heads of 64: attention-tiled 19; 1x4x2 127, 1x8x2 119, 2x4x2 103, 1x4x4 93, 2x4x1 75
//   heads of 80, 1024 tokens: attention-tiled 12; 2x4x2 80, 2x4x1 69, 1x4x2 59
// In an SDXL step (heads of 64, fused QKV) fewer queries a workgroup lose: 2x4x2 104, 1x4x2 62. All of its attention takes
// 19.9 ms with 2x4x2, 24.3 with 2x4x1, 31.0 with 1x4x2, 34.4 with 1x8x2.
// Variables are given zeros: Dawn does not clear a variable again that a loop declares without a value.
#include "lib/flat.wgsl"
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
struct Dims { tiles: u32, batch: u32, queries: u32, keys: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
// Eight f16 in a vec4<u32>.
@group(0) @binding(1) var<storage, read> q: array<vec4u>;
@group(0) @binding(2) var<storage, read> k: array<vec4u>;
@group(0) @binding(3) var<storage, read> v: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<y_t>>;

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

const THREADS: u32 = SUBGROUPS * 32u;
const KEYS: u32 = KN * 16u;
const ROWS: u32 = QM * 16u;
// Vectors between rows of the tiles.
const PITCH: u32 = DM * 2u + 1u;
const SCORE_PITCH: u32 = KN * 4u + 1u;
const WEIGHT_PITCH: u32 = KN * 2u + 1u;
const TILE_ROWS: u32 = max(2u * KEYS, SUBGROUPS * 16u);

// Stands for minus infinity, which WGSL does not promise.
const HIDDEN: f32 = -1e30;
// Weights are 2 to the power of scores times this.
const LOG2_SCALE: f32 = SCALE * 1.44269504;
const HEADROOM: f32 = 15.0;

// Keys, then values; queries before them.
var<workgroup> tile: array<vec4u, TILE_ROWS * PITCH>;
var<workgroup> scores: array<vec4f, SUBGROUPS * ROWS * SCORE_PITCH>;
var<workgroup> weights: array<vec4u, SUBGROUPS * ROWS * WEIGHT_PITCH>;
var<workgroup> shares: array<f32, SUBGROUPS * ROWS>;
var<workgroup> vote: atomic<u32>;

struct Octet { low: vec4f, high: vec4f }

fn weigh(score: Octet, reference: f32) -> Octet {
  return Octet(
    exp2(fma(score.low, vec4f(LOG2_SCALE), vec4f(-reference))),
    exp2(fma(score.high, vec4f(LOG2_SCALE), vec4f(-reference))),
  );
}

fn pack(weight: Octet) -> vec4u {
  return vec4u(
    pack2x16float(weight.low.xy),
    pack2x16float(weight.low.zw),
    pack2x16float(weight.high.xy),
    pack2x16float(weight.high.zw),
  );
}

fn largestOf(score: Octet) -> f32 {
  let both = max(score.low, score.high);
  return max(max(both.x, both.y), max(both.z, both.w));
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let flat = flatIndex(group, groups);
  let firstQuery = flat % dims.tiles * (SUBGROUPS * ROWS);
  let head = flat / dims.tiles % HEADS;
  let image = flat / dims.tiles / HEADS;
  if (image >= dims.batch) {
    return;
  }
  let subgroup = lane / 32u;
  let baseQ = image * dims.queries * Q_VECTORS + Q_OFFSET + head * D;
  let baseK = image * dims.keys * K_VECTORS + K_OFFSET + head * D;
  let baseV = image * dims.keys * V_VECTORS + V_OFFSET + head * D;
#if PADDED
  for (var row = lane; row < TILE_ROWS; row += THREADS) {
    tile[row * PITCH + D] = vec4u();
  }
#endif
#for i QM
  workgroupBarrier();
  for (var e = lane; e < SUBGROUPS * 16u * D; e += THREADS) {
    let row = e / D;
    let query = firstQuery + (row / 16u * QM + $iu) * 16u + row % 16u;
    tile[row * PITCH + e % D] = q[baseQ + min(query, dims.queries - 1u) * Q_VECTORS + e % D];
  }
  workgroupBarrier();
#for c DM
  let q$i_$c = subgroupMatrixLoad<Left, row_major>(&tile, subgroup * 16u * PITCH + 2u * $cu, PITCH);
#endfor
#endfor
#for i QM
#for c DM
  var sum$i_$c = Sum();
#endfor
#endfor
  // What this lane stages of each step: vector e of the keys' tile.
#for n LOADS
  let e$n = lane + THREADS * $nu;
  let key$n = e$n / D;
  let at$n = key$n * PITCH + e$n % D;
#endfor
  workgroupBarrier();
#for n LOADS
  if (e$n < KEYS * D) {
    tile[at$n] = k[baseK + min(key$n, dims.keys - 1u) * K_VECTORS + e$n % D];
  }
#endfor
  workgroupBarrier();

  // The row that this lane weighs, or the half of it.
  let row = subgroup * ROWS + lane % ROWS;
  let part = lane % 32u / ROWS;
  let firstScore = row * SCORE_PITCH + part * (OCTETS * 2u);
  let firstWeight = row * WEIGHT_PITCH + part * OCTETS;
  if (lane == 0u) {
    atomicStore(&vote, 0u);
  }
  var reference = HIDDEN;
  var added = vec4f();
  for (var firstKey = 0u; firstKey < dims.keys; firstKey += KEYS) {
#for n LOADS
    let v$n = v[baseV + min(firstKey + key$n, dims.keys - 1u) * V_VECTORS + e$n % D];
    let k$n = k[baseK + min(firstKey + KEYS + key$n, dims.keys - 1u) * K_VECTORS + e$n % D];
#endfor
#for j KN
    {
#for i QM
      var score$i = Sum();
#endfor
#for c DM
      let k$c = subgroupMatrixLoad<Right, col_major>(&tile, 16u * $ju * PITCH + 2u * $cu, PITCH);
#for i QM
      score$i = subgroupMatrixMultiplyAccumulate(q$i_$c, k$c, score$i);
#endfor
#endfor
#for i QM
      subgroupMatrixStore<row_major>(&scores, (subgroup * ROWS + 16u * $iu) * SCORE_PITCH + 4u * $ju, score$i, SCORE_PITCH);
#endfor
    }
#endfor
    workgroupBarrier();
#for n LOADS
    if (e$n < KEYS * D) {
      tile[at$n] = k$n;
      tile[KEYS * PITCH + at$n] = select(vec4u(), v$n, firstKey + key$n < dims.keys);
    }
#endfor
    if (firstKey + KEYS > dims.keys) {
      for (var o = 0u; o < OCTETS * 2u; o++) {
        let key = vec4u(firstKey + (part * OCTETS * 2u + o) * 4u) + vec4u(0u, 1u, 2u, 3u);
        scores[firstScore + o] = select(vec4f(HIDDEN), scores[firstScore + o], key < vec4u(dims.keys));
      }
    }
    if (firstKey == 0u) {
      for (var o = 0u; o < OCTETS; o++) {
        reference = max(reference, largestOf(Octet(scores[firstScore + 2u * o], scores[firstScore + 2u * o + 1u])));
      }
#if QM == 1
      reference = max(reference, subgroupShuffleXor(reference, 16u));
#endif
      reference *= LOG2_SCALE;
    }
    let before = added;
    var largest = HIDDEN;
#for o OCTETS
    {
      let score = Octet(scores[firstScore + 2u * $ou], scores[firstScore + 2u * $ou + 1u]);
      largest = max(largest, largestOf(score));
      let weight = weigh(score, reference);
      added += weight.low + weight.high;
      weights[firstWeight + $ou] = pack(weight);
    }
#endfor
    if (largest * LOG2_SCALE - reference > HEADROOM) {
      atomicStore(&vote, 1u);
    }
    if (workgroupUniformLoad(&vote) != 0u) {
#if QM == 1
      largest = max(largest, subgroupShuffleXor(largest, 16u));
#endif
      let raised = max(reference, largest * LOG2_SCALE);
      let fade = exp2(reference - raised);
      reference = raised;
      added = before * fade;
      for (var o = 0u; o < OCTETS; o++) {
        let weight = weigh(Octet(scores[firstScore + 2u * o], scores[firstScore + 2u * o + 1u]), reference);
        added += weight.low + weight.high;
        weights[firstWeight + o] = pack(weight);
      }
      atomicStore(&vote, 0u);
#for c DM
      workgroupBarrier();
#for i QM
      subgroupMatrixStore<row_major>(&scores, (subgroup * ROWS + 16u * $iu) * SCORE_PITCH, sum$i_$c, SCORE_PITCH);
#endfor
      workgroupBarrier();
      for (var n = part; n < 4u; n += 32u / ROWS) {
        scores[row * SCORE_PITCH + n] *= fade;
      }
      workgroupBarrier();
#for i QM
      sum$i_$c = subgroupMatrixLoad<Sum, row_major>(&scores, (subgroup * ROWS + 16u * $iu) * SCORE_PITCH, SCORE_PITCH);
#endfor
#endfor
      workgroupBarrier();
    }
#for j KN
    {
#for i QM
      let weight$i = subgroupMatrixLoad<Left, row_major>(&weights, (subgroup * ROWS + 16u * $iu) * WEIGHT_PITCH + 2u * $ju, WEIGHT_PITCH);
#endfor
#for c DM
      let v$c = subgroupMatrixLoad<Right, row_major>(&tile, (KEYS + 16u * $ju) * PITCH + 2u * $cu, PITCH);
#for i QM
      sum$i_$c = subgroupMatrixMultiplyAccumulate(weight$i, v$c, sum$i_$c);
#endfor
#endfor
    }
#endfor
  }

  var total = added.x + added.y + added.z + added.w;
#if QM == 1
  total += subgroupShuffleXor(total, 16u);
#endif
  shares[row] = 1.0 / total;
#for c DM
  workgroupBarrier();
#for i QM
  subgroupMatrixStore<row_major>(&scores, (subgroup * ROWS + 16u * $iu) * SCORE_PITCH, sum$i_$c, SCORE_PITCH);
#endfor
  workgroupBarrier();
  for (var e = lane % 32u; e < ROWS * 4u; e += 32u) {
    let own = subgroup * ROWS + e / 4u;
    let query = firstQuery + own;
    let channel = 4u * $cu + e % 4u;
    if (query < dims.queries && channel < D * 2u) {
      y[((image * dims.queries + query) * HEADS + head) * (D * 2u) + channel] = vec4<y_t>(scores[own * SCORE_PITCH + e % 4u] * shares[own]);
    }
  }
#endfor
}
