// Scaled dot-product attention on subgroup matrices with f32 sums, as gemm-matrix.wgsl has them (M rows; N columns, as deep as
// they are wide), with an online softmax (the method of FlashAttention, Dao et al. 2022). Each of SUBGROUPS subgroups keeps QM x
// M queries of a head and their sums in matrices; the workgroup walks the keys KN x N at a time, keys and values staged in
// workgroup memory.
//
// Matrices cannot be read element by element, so scores pass through workgroup memory: stored as f32, read back by PARTS lanes (one or two)
// a row, weighed, packed to f16 where tiles are f16 (IN_PLACE unless two lanes share a row) and loaded as the left operand of the
// second product. Nor can a matrix be scaled row by row, so sums are kept relative to the row's largest score of the first
// step. That holds unless a weight passes 2^15, near the end of f16, which is found out at the end: then all is done again
// with the largest scores themselves, which are known by then. Barriers of a step:
//   scores of step i | weights of step i; keys of i + 1 and values of i are staged | sums
//
// q, k and v have rows of Q_, K_ and V_WIDTH vectors of 16 bytes and begin at *_OFFSET; a head has D vectors, padded with
// zeros to DM matrices. Variant: BIAS, added to the scores that a lane has for itself. Tiles are vectors of 16 bytes; their pitches make all accesses free of bank conflicts but the store of scores.
//
// Why this one (H100, Dawn/Vulkan, driver 580; QM x SUBGROUPS x KN, TFLOP/s again and again, a fused QKV of SD1.5 or SDXL):
//   heads of 40, 4096 tokens: attention-tiled 15; 2x8x1 153, 4x4x1 140 (lanes weighed two rows each), 2x4x2 131, 2x2x2 112, 1x8x1 108, 1x4x1 107, 2x4x1 97
//   heads of 64, 4096 tokens: attention-tiled 19; 2x4x1 181, 2x5x1 155, 2x6x1 151, 1x4x2 137, 2x2x1 130, 1x8x1 120, 2x4x2 108
//   heads of 80, 1024 tokens: attention-tiled 12; 2x4x2 141, 1x8x2 133, 2x2x2 127, 2x2x1 124, 1x4x1 122, 2x4x1 111
//   heads of 160, 256 tokens: 1x4x2 46, 1x4x1 44, 1x2x2 41, 1x8x1 34
// It is the 48 KiB that a multiprocessor gives its workgroups together that decide: for heads of 40, 2x8x1 takes 23 KiB since rows
// of keys are CLOSE and shares are where scores were; with 25 it was one workgroup a multiprocessor, 102. Before weights took the
// place of scores, 2x4x2 was best for heads of 64, at 102.
// Rescaling sums where a weight passes the headroom, with a vote at each step of a second walk, took three times the first walk
// (heads of 160 in a network of random weights: 45 us for 19) and registers of all who did not need it.
// Variables are given zeros: Dawn does not clear a variable again that a loop declares without a value.
#include "lib/flat.wgsl"
#include "lib/attention-on-matrices.wgsl"

const THREADS: u32 = SUBGROUPS * LANES;
const KEYS: u32 = KN * N;
const ROWS: u32 = QM * M;
// Vectors between rows of queries, CHUNK of them a matrix; between rows of keys and values. CLOSE: there the last matrix of a row
// reaches into the next one, where it meets queries that are zeros, or makes sums that are not kept.
const PITCH_Q: u32 = (DM * CHUNK) | 1u;
#if CLOSE
const PITCH: u32 = D * SPREAD;
const VALUES: u32 = KEYS * PITCH + 1u;
#else
const PITCH: u32 = PITCH_Q;
const VALUES: u32 = KEYS * PITCH;
#endif
const SCORE_PITCH: u32 = KN * N / 4u + 1u;
// The vector of a row of scores that is left over; in the end it has what the row's sums are multiplied by.
const SHARE: u32 = KN * N / 4u;
#if IN_PLACE
const WEIGHT_PITCH: u32 = SCORE_PITCH;
#else
const WEIGHT_PITCH: u32 = (KN * CHUNK) | 1u;
#endif
const SCORES: u32 = 2u * VALUES;
#if IN_PLACE
const WEIGHTS: u32 = SCORES;
const END: u32 = SCORES + SUBGROUPS * ROWS * SCORE_PITCH;
#else
const WEIGHTS: u32 = SCORES + SUBGROUPS * ROWS * SCORE_PITCH;
const END: u32 = WEIGHTS + SUBGROUPS * ROWS * WEIGHT_PITCH;
#endif

// Keys, values, scores and weights; before them, queries of all subgroups.
var<workgroup> tile: array<vec4u, max(END, SUBGROUPS * M * PITCH_Q)>;
var<workgroup> vote: atomic<u32>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
#if RESIZED
  @builtin(subgroup_size) subgroupLanes: u32,
#endif
) {
  let flat = flatIndex(group, groups);
  let firstQuery = flat % dims.tiles * (SUBGROUPS * ROWS);
  let head = flat / dims.tiles % HEADS;
  let image = flat / dims.tiles / HEADS;
  if (image >= dims.batch) {
    return;
  }
  // Whose scores this lane weighs, and whose it makes.
  let own = lane / LANES;
#if RESIZED
  let subgroup = lane / subgroupLanes;
  let working = subgroup < SUBGROUPS;
#else
  let subgroup = own;
  const working = true;
#endif
  let baseQ = image * dims.queries * Q_WIDTH + Q_OFFSET + head * D;
  let baseK = image * dims.keys * K_WIDTH + K_OFFSET + head * D;
  let baseV = image * dims.keys * V_WIDTH + V_OFFSET + head * D;
#if PADDED
#if CLOSE
  const padded = SUBGROUPS * M;
#else
  const padded = max(2u * KEYS, SUBGROUPS * M);
#endif
  for (var row = lane; row < padded; row += THREADS) {
    tile[row * PITCH_Q + D] = vec4u();
  }
#endif
#for i QM
  workgroupBarrier();
  for (var e = lane; e < SUBGROUPS * M * D; e += THREADS) {
    let row = e / D;
    let query = firstQuery + (row / M * QM + $iu) * M + row % M;
    stage(row * PITCH_Q + e % D * SPREAD, q[baseQ + min(query, dims.queries - 1u) * Q_WIDTH + e % D]);
  }
  workgroupBarrier();
#for c DM
  var q$i_$c = Left();
#endfor
  if (working) {
#for c DM
    q$i_$c = subgroupMatrixLoad<Left, row_major>(&tile, subgroup * M * PITCH_Q + CHUNK * $cu, PITCH_Q);
#endfor
  }
#endfor
  // What this lane stages of each step: vector e of the keys' tile.
#for n LOADS
  let e$n = lane + THREADS * $nu;
  let key$n = e$n / D;
  let at$n = key$n * PITCH + e$n % D * SPREAD;
#endfor
  // The row that this lane weighs, or the half of it; which lane has the other.
#if RESIZED
  let row = own * ROWS + lane % LANES / PARTS;
  let part = lane % PARTS;
  const other = 1u;
#else
  let row = own * ROWS + lane % ROWS;
  let part = lane % LANES / ROWS;
  const other = ROWS;
#endif
  let firstScore = SCORES + row * SCORE_PITCH + part * (OCTETS * 2u);
  let firstWeight = WEIGHTS + row * WEIGHT_PITCH + part * (OCTETS * OCTET);
  var reference = HIDDEN;
  var largest = HIDDEN;
  var added = vec4f();
  if (lane == 0u) {
    atomicStore(&vote, 0u);
  }
#for i QM
#for c DM
  var sum$i_$c = Sum();
#endfor
#endfor
  // First in the hope that no weight will pass the headroom; if one did, all over again with the largest scores, now known.
  var again = false;
  loop {
#for i QM
#for c DM
    sum$i_$c = Sum();
#endfor
#endfor
    added = vec4f();
    workgroupBarrier();
#if CLOSE
    if (lane == 0u) {
      tile[KEYS * PITCH] = vec4u();
    }
#endif
#for n LOADS
    if (e$n < KEYS * D) {
      stage(at$n, k[baseK + min(key$n, dims.keys - 1u) * K_WIDTH + e$n % D]);
    }
#endfor
    workgroupBarrier();

    for (var firstKey = 0u; firstKey < dims.keys; firstKey += KEYS) {
#for n LOADS
      let v$n = v[baseV + min(firstKey + key$n, dims.keys - 1u) * V_WIDTH + e$n % D];
      let k$n = k[baseK + min(firstKey + KEYS + key$n, dims.keys - 1u) * K_WIDTH + e$n % D];
#endfor
#for j KN
      if (working) {
#for i QM
        var score$i = Sum();
#endfor
#for c DM
        let k$c = subgroupMatrixLoad<Right, col_major>(&tile, N * $ju * PITCH + CHUNK * $cu, PITCH);
#for i QM
        score$i = subgroupMatrixMultiplyAccumulate(q$i_$c, k$c, score$i);
#endfor
#endfor
#for i QM
        subgroupMatrixStore<row_major>(&tile, SCORES + (subgroup * ROWS + M * $iu) * SCORE_PITCH + N / 4u * $ju, score$i, SCORE_PITCH);
#endfor
      }
#endfor
      workgroupBarrier();
#for n LOADS
      if (e$n < KEYS * D) {
        stage(at$n, k$n);
        stage(VALUES + at$n, select(vec4u(), v$n, firstKey + key$n < dims.keys));
      }
#endfor
#if BIAS
      for (var o = 0u; o < OCTETS * 2u; o++) {
        let bias = biasesAt(image, head, firstKey + (part * OCTETS * 2u + o) * 4u, firstQuery + row);
        tile[firstScore + o] = bitcast<vec4u>(bitcast<vec4f>(tile[firstScore + o]) + bias / SCALE);
      }
#endif
      if (firstKey + KEYS > dims.keys) {
        for (var o = 0u; o < OCTETS * 2u; o++) {
          let key = vec4u(firstKey + (part * OCTETS * 2u + o) * 4u) + vec4u(0u, 1u, 2u, 3u);
          tile[firstScore + o] = select(vec4u(bitcast<u32>(HIDDEN)), tile[firstScore + o], key < vec4u(dims.keys));
        }
      }
      if (firstKey == 0u && !again) {
        for (var o = 0u; o < OCTETS; o++) {
          reference = max(reference, largestOf(scoreAt(firstScore + 2u * o)));
        }
#if PARTS == 2
        reference = max(reference, subgroupShuffleXor(reference, other));
#endif
        reference = fma(reference, LOG2_SCALE, MARGIN);
      }
#for o OCTETS
      {
        let score = scoreAt(firstScore + 2u * $ou);
        largest = max(largest, largestOf(score));
        let weight = weigh(score, reference);
        added += weight.low + weight.high;
        keep(firstWeight + $ou * OCTET, weight);
      }
#endfor
      workgroupBarrier();
#for j KN
      if (working) {
#for i QM
        let weight$i = subgroupMatrixLoad<Left, row_major>(&tile, WEIGHTS + (subgroup * ROWS + M * $iu) * WEIGHT_PITCH + CHUNK * $ju, WEIGHT_PITCH);
#endfor
#for c DM
        let v$c = subgroupMatrixLoad<Right, row_major>(&tile, VALUES + N * $ju * PITCH + CHUNK * $cu, PITCH);
#for i QM
        sum$i_$c = subgroupMatrixMultiplyAccumulate(weight$i, v$c, sum$i_$c);
#endfor
#endfor
      }
#endfor
    }
    if (again) {
      break;
    }
#if PARTS == 2
    largest = max(largest, subgroupShuffleXor(largest, other));
#endif
    if (largest * LOG2_SCALE - reference > HEADROOM) {
      atomicStore(&vote, 1u);
    }
    again = workgroupUniformLoad(&vote) != 0u;
    if (!again) {
      break;
    }
    reference = largest * LOG2_SCALE;
  }

  var total = added.x + added.y + added.z + added.w;
#if PARTS == 2
  total += subgroupShuffleXor(total, other);
#endif
  if (part == 0u) {
    tile[SCORES + row * SCORE_PITCH + SHARE] = bitcast<vec4u>(vec4f(1.0 / total));
  }
#for c DM
  workgroupBarrier();
  if (working) {
#for i QM
    subgroupMatrixStore<row_major>(&tile, SCORES + (subgroup * ROWS + M * $iu) * SCORE_PITCH, sum$i_$c, SCORE_PITCH);
#endfor
  }
  workgroupBarrier();
  for (var e = lane % LANES; e < ROWS * N / 4u; e += LANES) {
    let finished = own * ROWS + e / (N / 4u);
    let query = firstQuery + finished;
    let channel = N / 4u * $cu + e % (N / 4u);
    if (query < dims.queries && channel < HEAD_VECTORS) {
      y[((image * dims.queries + query) * HEADS + head) * HEAD_VECTORS + channel] = vec4<y_t>(bitcast<vec4f>(tile[SCORES + finished * SCORE_PITCH + e % (N / 4u)]) * bitcast<vec4f>(tile[SCORES + finished * SCORE_PITCH + SHARE]));
    }
  }
#endfor
}
