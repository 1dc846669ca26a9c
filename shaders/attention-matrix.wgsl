// Scaled dot-product attention on subgroup matrices: f16 in, f32 sums, 16x16x16 (NVIDIA, 32 lanes), with an online softmax
// (the method of FlashAttention, Dao et al. 2022). Each of SUBGROUPS subgroups keeps QM x 16 queries of a head and their
// sums in matrices; the workgroup walks the keys KN x 16 at a time, keys and values staged in workgroup memory.
//
// Matrices cannot be read element by element, so scores pass through workgroup memory: stored as f32, read back a row (or
// half a row) a lane, weighed, packed to f16 (in place if a lane has the row to itself) and loaded as the left operand of the
// second product. Nor can a matrix be scaled row by row, so sums are kept relative to the row's largest score of the first
// step. That holds unless a weight passes 2^15, near the end of f16, which is found out at the end: then all is done again
// with a vote at each step, and sums are rescaled (through workgroup memory) where one asks for it. Barriers of a step:
//   scores of step i | weights of step i; keys of i + 1 and values of i are staged | sums
//
// q, k and v have rows of Q_, K_ and V_VECTORS vectors of 8 channels and begin at *_OFFSET; a head has D vectors, padded with
// zeros to DM matrices. Variant: BIAS, added to the scores that a lane has for itself. Tiles are vectors of 16 bytes; their pitches make all accesses free of bank conflicts but the store of scores.
//
// Why this one (H100, Dawn/Vulkan, driver 580; QM x SUBGROUPS x KN, TFLOP/s again and again, a fused QKV of SD1.5 or SDXL):
//   heads of 40, 4096 tokens: attention-tiled 15; 2x8x1 118, 1x8x1 112, 1x4x1 105, 2x4x1 103, 2x2x1 89, 2x4x2 78
//   heads of 64, 4096 tokens: attention-tiled 19; 2x4x1 177, 2x2x1 127, 1x8x1 126, 1x4x2 124, 2x4x2 111, 2x8x1 103
//   heads of 80, 1024 tokens: attention-tiled 12; 2x2x2 124, 1x8x2 119, 2x4x2 115, 1x8x1 111, 2x4x1 91
//   heads of 160, 256 tokens: 1x4x2 45, 1x2x2 38, 1x4x1 34
// Before weights took the place of scores and votes became rare, 2x4x2 was best for heads of 64, at 102: it is the 48 KiB that
// a multiprocessor gives its workgroups together that decide, 15 KiB a workgroup now and 38 then.
// Variables are given zeros: Dawn does not clear a variable again that a loop declares without a value.
#include "lib/flat.wgsl"
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
#if BIAS
struct Dims { tiles: u32, batch: u32, queries: u32, keys: u32, biasBatch: u32, biasKey: u32, biasQuery: u32, biasHead: u32 }
#else
struct Dims { tiles: u32, batch: u32, queries: u32, keys: u32 }
#endif
@group(0) @binding(0) var<uniform> dims: Dims;
// Eight f16 in a vec4<u32>.
@group(0) @binding(1) var<storage, read> q: array<vec4u>;
@group(0) @binding(2) var<storage, read> k: array<vec4u>;
@group(0) @binding(3) var<storage, read> v: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<y_t>>;
#if BIAS
#include "lib/attention-bias.wgsl"
#endif

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

const THREADS: u32 = SUBGROUPS * 32u;
const KEYS: u32 = KN * 16u;
const ROWS: u32 = QM * 16u;
// Vectors between rows of the tiles.
const PITCH: u32 = DM * 2u + 1u;
const SCORE_PITCH: u32 = KN * 4u + 1u;
#if IN_PLACE
const WEIGHT_PITCH: u32 = SCORE_PITCH;
#else
const WEIGHT_PITCH: u32 = KN * 2u + 1u;
#endif
const SCORES: u32 = 2u * KEYS * PITCH;
#if IN_PLACE
const WEIGHTS: u32 = SCORES;
const END: u32 = SCORES + SUBGROUPS * ROWS * SCORE_PITCH;
#else
const WEIGHTS: u32 = SCORES + SUBGROUPS * ROWS * SCORE_PITCH;
const END: u32 = WEIGHTS + SUBGROUPS * ROWS * WEIGHT_PITCH;
#endif

// Stands for minus infinity, which WGSL does not promise.
const HIDDEN: f32 = -1e30;
// Weights are 2 to the power of scores times this.
const LOG2_SCALE: f32 = SCALE * 1.44269504;
const HEADROOM: f32 = 15.0;
// By how much, as a power of 2, weights of the largest scores of the first step stay below 1.
const MARGIN: f32 = 4.0;

// Keys, values, scores and weights; before them, queries of all subgroups.
var<workgroup> tile: array<vec4u, max(END, SUBGROUPS * 16u * PITCH)>;
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

fn scoreAt(vector: u32) -> Octet {
  return Octet(bitcast<vec4f>(tile[vector]), bitcast<vec4f>(tile[vector + 1u]));
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
  for (var row = lane; row < max(2u * KEYS, SUBGROUPS * 16u); row += THREADS) {
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
  // What this lane stages of each step: vector e of the keys' tile.
#for n LOADS
  let e$n = lane + THREADS * $nu;
  let key$n = e$n / D;
  let at$n = key$n * PITCH + e$n % D;
#endfor
  // The row that this lane weighs, or the half of it.
  let row = subgroup * ROWS + lane % ROWS;
  let part = lane % 32u / ROWS;
  let firstScore = SCORES + row * SCORE_PITCH + part * (OCTETS * 2u);
  let firstWeight = WEIGHTS + row * WEIGHT_PITCH + part * OCTETS;
  if (lane == 0u) {
    atomicStore(&vote, 0u);
  }
#for i QM
#for c DM
  var sum$i_$c = Sum();
#endfor
#endfor
  var reference = HIDDEN;
  var added = vec4f();
  // First in the hope that no weight will pass the headroom; if one did, all over again with a vote at each step.
  var careful = false;
  loop {
#for i QM
#for c DM
    sum$i_$c = Sum();
#endfor
#endfor
    added = vec4f();
    workgroupBarrier();
#for n LOADS
    if (e$n < KEYS * D) {
      tile[at$n] = k[baseK + min(key$n, dims.keys - 1u) * K_VECTORS + e$n % D];
    }
#endfor
    workgroupBarrier();

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
        subgroupMatrixStore<row_major>(&tile, SCORES + (subgroup * ROWS + 16u * $iu) * SCORE_PITCH + 4u * $ju, score$i, SCORE_PITCH);
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
#if BIAS
      for (var o = 0u; o < OCTETS * 2u; o++) {
        let key = firstKey + (part * OCTETS * 2u + o) * 4u;
        let query = firstQuery + row;
        let added = vec4f(
          biasAt(image, head, key, query),
          biasAt(image, head, key + 1u, query),
          biasAt(image, head, key + 2u, query),
          biasAt(image, head, key + 3u, query),
        );
        tile[firstScore + o] = bitcast<vec4u>(bitcast<vec4f>(tile[firstScore + o]) + added / SCALE);
      }
#endif
      if (firstKey + KEYS > dims.keys) {
        for (var o = 0u; o < OCTETS * 2u; o++) {
          let key = vec4u(firstKey + (part * OCTETS * 2u + o) * 4u) + vec4u(0u, 1u, 2u, 3u);
          tile[firstScore + o] = select(vec4u(bitcast<u32>(HIDDEN)), tile[firstScore + o], key < vec4u(dims.keys));
        }
      }
      if (firstKey == 0u) {
        reference = HIDDEN;
        for (var o = 0u; o < OCTETS; o++) {
          reference = max(reference, largestOf(scoreAt(firstScore + 2u * o)));
        }
#if QM == 1
        reference = max(reference, subgroupShuffleXor(reference, 16u));
#endif
        reference = fma(reference, LOG2_SCALE, MARGIN);
      }
      let before = added;
      var largest = HIDDEN;
#for o OCTETS
      let score$o = scoreAt(firstScore + 2u * $ou);
      {
        largest = max(largest, largestOf(score$o));
        let weight = weigh(score$o, reference);
        added += weight.low + weight.high;
        tile[firstWeight + $ou] = pack(weight);
      }
#endfor
      if (largest * LOG2_SCALE - reference > HEADROOM) {
        atomicStore(&vote, 1u);
      }
      if (!careful) {
        workgroupBarrier();
      } else if (workgroupUniformLoad(&vote) != 0u) {
#if QM == 1
        largest = max(largest, subgroupShuffleXor(largest, 16u));
#endif
        let raised = max(reference, largest * LOG2_SCALE);
        let fade = exp2(reference - raised);
        reference = raised;
        added = before * fade;
#for o OCTETS
        let weight$o = weigh(score$o, reference);
        added += weight$o.low + weight$o.high;
#endfor
        atomicStore(&vote, 0u);
#for c DM
        workgroupBarrier();
#for i QM
        subgroupMatrixStore<row_major>(&tile, SCORES + (subgroup * ROWS + 16u * $iu) * SCORE_PITCH, sum$i_$c, SCORE_PITCH);
#endfor
        workgroupBarrier();
        for (var n = part; n < 4u; n += 32u / ROWS) {
          tile[SCORES + row * SCORE_PITCH + n] = bitcast<vec4u>(bitcast<vec4f>(tile[SCORES + row * SCORE_PITCH + n]) * fade);
        }
        workgroupBarrier();
#for i QM
        sum$i_$c = subgroupMatrixLoad<Sum, row_major>(&tile, SCORES + (subgroup * ROWS + 16u * $iu) * SCORE_PITCH, SCORE_PITCH);
#endfor
#endfor
        workgroupBarrier();
#for o OCTETS
        tile[firstWeight + $ou] = pack(weight$o);
#endfor
        workgroupBarrier();
      }
#for j KN
      {
#for i QM
        let weight$i = subgroupMatrixLoad<Left, row_major>(&tile, WEIGHTS + (subgroup * ROWS + 16u * $iu) * WEIGHT_PITCH + 2u * $ju, WEIGHT_PITCH);
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
    if (careful) {
      break;
    }
    careful = workgroupUniformLoad(&vote) != 0u;
    if (!careful) {
      break;
    }
    atomicStore(&vote, 0u);
  }

  var total = added.x + added.y + added.z + added.w;
#if QM == 1
  total += subgroupShuffleXor(total, 16u);
#endif
  if (part == 0u) {
    shares[row] = 1.0 / total;
  }
#for c DM
  workgroupBarrier();
#for i QM
  subgroupMatrixStore<row_major>(&tile, SCORES + (subgroup * ROWS + 16u * $iu) * SCORE_PITCH, sum$i_$c, SCORE_PITCH);
#endfor
  workgroupBarrier();
  for (var e = lane % 32u; e < ROWS * 4u; e += 32u) {
    let own = subgroup * ROWS + e / 4u;
    let query = firstQuery + own;
    let channel = 4u * $cu + e % 4u;
    if (query < dims.queries && channel < D * 2u) {
      y[((image * dims.queries + query) * HEADS + head) * (D * 2u) + channel] = vec4<y_t>(bitcast<vec4f>(tile[SCORES + own * SCORE_PITCH + e % 4u]) * shares[own]);
    }
  }
#endfor
}
