// Scaled dot-product attention on subgroup matrices for heads too wide for attention-matrix.wgsl, as the 512 channels of VAEs,
// with an online softmax (the method of FlashAttention, Dao et al. 2022). A workgroup makes ROWS queries of a head and walks the
// keys KEYS at a time. No subgroup could keep its queries' sums: each keeps those of all rows for CN matrices of the channels.
// Scores are a product of ROWS x KEYS over the channels, shared out GM x GN among the subgroups, SM x SN matrices each; queries and
// keys are staged DEPTH matrices of channels at a time, the next while one is multiplied, queries anew for every step:
// they are too large for workgroup memory. Then values are staged, VN matrices of keys at a time.
//
// Matrices cannot be read element by element, so scores pass through workgroup memory: stored as f32, read back by PARTS lanes a
// row, weighed, packed to f16 where tiles are f16. Nor can a matrix be scaled row by row, so sums are kept relative to a
// reference of their row, the first step's largest score with some margin, until a weight would pass 2^15, near the end of f16: then the
// workgroup votes to raise references, and sums are rescaled through workgroup memory.
//
// q, k and v have rows of Q_, K_ and V_WIDTH vectors of 16 bytes and begin at *_OFFSET; a head has D vectors. PADDED: which are not
// a multiple of what is staged at a time. Variant: BIAS.
//
// Why this one (H100, Dawn/Vulkan, driver 580; one head of 512, ms for 4096, 9216 and 16384 tokens; GM x GN, SM x SN, DEPTH):
//   4.15, 22.0, 40.1  attention-tiled
//   0.39, 1.71, 3.03  2x4 2x2 4: 64 queries, 128 keys; the best once it has a workgroup for each multiprocessor
//   0.25, 1.84, 4.83  2x4 1x2 4: 32 queries; taken for fewer
//   0.39, 1.98, 3.65  2x4 2x2 2; 0.38, 1.92, 3.59 with two tiles of queries and keys, and half of the barriers
//   0.39, 1.93, 3.61  1x8 4x1 2; 0.40, 1.97, 3.65  4x2 1x4 2, both with two tiles
//   0.46, 2.84, 5.44  4x2 1x2 2, two tiles: 64 keys, twice as many values at a time
//   0.38, 2.93, 5.62  1x4 2x1 2, two tiles: 32 queries by four subgroups, two workgroups a multiprocessor
//   0.32, 2.52, 6.89  2x4 1x1 4: 32 queries, 64 keys, two workgroups a multiprocessor
// What a stage multiplies has to outlast the loads of the next: 64 channels do, 32 do not, whatever the barriers. Halving the
// queries reads keys and values twice as often: 18 GB for 16384 tokens, which caches do not give in 3 ms.
#include "lib/flat.wgsl"
#include "lib/attention-on-matrices.wgsl"

const THREADS: u32 = SUBGROUPS * LANES;
const ROWS: u32 = GM * SM * M;
const KEYS: u32 = GN * SN * N;
const VALUES: u32 = VN * N;
// Vectors of a row of queries or keys staged at a time, and between rows of the tiles; CHUNK vectors of a tile are a matrix.
const PART: u32 = DEPTH * CHUNK / SPREAD;
const PITCH: u32 = (DEPTH * CHUNK) | 1u;
const STAGES: u32 = (D + PART - 1u) / PART;
const K_TILE: u32 = ROWS * PITCH;
const SCORE_PITCH: u32 = KEYS / 4u + 1u;
const WEIGHT_PITCH: u32 = (GN * SN * CHUNK) | 1u;
const V_PITCH: u32 = (SUBGROUPS * CN * CHUNK) | 1u;
const V_TILE: u32 = ROWS * WEIGHT_PITCH;
// Vectors of the sums of one column of matrices, of a subgroup.
const COLUMN: u32 = ROWS * N / 4u;

// In turns: queries and keys, scores, weights and values; when sums are rescaled or finished, a column of them for each subgroup.
var<workgroup> tile: array<vec4u, max(max(K_TILE + KEYS * PITCH, ROWS * SCORE_PITCH), max(V_TILE + VALUES * V_PITCH, SUBGROUPS * COLUMN))>;
// What rows of sums are multiplied by.
var<workgroup> factors: array<f32, ROWS>;
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
  let firstQuery = flat % dims.tiles * ROWS;
  let head = flat / dims.tiles % HEADS;
  let image = flat / dims.tiles / HEADS;
  if (image >= dims.batch) {
    return;
  }
  // Whose sums this lane rescales and finishes, and whose it makes.
  let own = lane / LANES;
#if RESIZED
  let subgroup = lane / subgroupLanes;
  let working = subgroup < SUBGROUPS;
#else
  let subgroup = own;
  const working = true;
#endif
  let rowOffset = subgroup / GN * (SM * M);
  let keyOffset = subgroup % GN * (SN * N);
  // The row of scores that this lane weighs its part of.
  let row = lane / PARTS;
  let part = lane % PARTS;
  // What this lane stages of queries and keys.
#if QUARTERS
  // Rows 0 and 4, 1 and 5 ... of eight side by side, so that stores are free of bank conflicts.
  let line = lane / 32u * 8u + lane / 8u % 4u + lane / 4u % 2u * 4u;
#else
  let line = lane / PART;
#endif
  let vector = lane % PART;
#for n LOADS_Q
  let rowQ$n = line + THREADS / PART * $nu;
  let baseQ$n = (image * dims.queries + min(firstQuery + rowQ$n, dims.queries - 1u)) * Q_WIDTH + Q_OFFSET + head * D;
#endfor
  let baseK = image * dims.keys * K_WIDTH + K_OFFSET + head * D;
  let baseV = image * dims.keys * V_WIDTH + V_OFFSET + head * D;
#for n LOADS_K
  let rowK$n = line + THREADS / PART * $nu;
  var fromK$n = baseK + min(rowK$n, dims.keys - 1u) * K_WIDTH;
#endfor
#for n LOADS_V
  let keyV$n = (lane + THREADS * $nu) / D;
  let vectorV$n = (lane + THREADS * $nu) % D;
  var valueV$n = vec4u();
#endfor
#for i RM
#for c CN
  var sum$i_$c = Sum();
#endfor
#endfor
  var reference = HIDDEN;
  var added = 0.0;
  if (lane == 0u) {
    atomicStore(&vote, 0u);
  }
#for n LOADS_Q
  var valueQ$n = q[baseQ$n + min(vector, D - 1u)];
#endfor
#for n LOADS_K
  var valueK$n = k[fromK$n + min(vector, D - 1u)];
#endfor

  for (var firstKey = 0u; firstKey < dims.keys; firstKey += KEYS) {
#for i SM
#for j SN
    var score$i_$j = Sum();
#endfor
#endfor
    for (var s = 0u; s < STAGES; s++) {
#if PADDED
      let inside = s * PART + vector < D;
#else
      const inside = true;
#endif
#for n LOADS_Q
#if RAGGED_Q
      if (rowQ$n < ROWS) {
        stage(rowQ$n * PITCH + vector * SPREAD, select(vec4u(), valueQ$n, inside));
      }
#else
      stage(rowQ$n * PITCH + vector * SPREAD, select(vec4u(), valueQ$n, inside));
#endif
#endfor
#for n LOADS_K
#if RAGGED_K
      if (rowK$n < KEYS) {
        stage(K_TILE + rowK$n * PITCH + vector * SPREAD, select(vec4u(), valueK$n, inside));
      }
#else
      stage(K_TILE + rowK$n * PITCH + vector * SPREAD, select(vec4u(), valueK$n, inside));
#endif
#endfor
      if (s + 1u < STAGES) {
#if PADDED
        let next = min((s + 1u) * PART + vector, D - 1u);
#else
        let next = (s + 1u) * PART + vector;
#endif
#for n LOADS_Q
        valueQ$n = q[baseQ$n + next];
#endfor
#for n LOADS_K
        valueK$n = k[fromK$n + next];
#endfor
      } else {
#for n LOADS_V
        valueV$n = v[baseV + min(firstKey + keyV$n, dims.keys - 1u) * V_WIDTH + vectorV$n];
#endfor
      }
      workgroupBarrier();
      if (working) {
#for d DEPTH
#for i SM
        let q$d_$i = subgroupMatrixLoad<Left, row_major>(&tile, (rowOffset + M * $iu) * PITCH + CHUNK * $du, PITCH);
#endfor
#for j SN
        let k$d_$j = subgroupMatrixLoad<Right, col_major>(&tile, K_TILE + (keyOffset + N * $ju) * PITCH + CHUNK * $du, PITCH);
#for i SM
        score$i_$j = subgroupMatrixMultiplyAccumulate(q$d_$i, k$d_$j, score$i_$j);
#endfor
#endfor
#endfor
      }
      workgroupBarrier();
    }
    if (working) {
#for i SM
#for j SN
      subgroupMatrixStore<row_major>(&tile, (rowOffset + M * $iu) * SCORE_PITCH + (keyOffset + N * $ju) / 4u, score$i_$j, SCORE_PITCH);
#endfor
#endfor
    }
    workgroupBarrier();
    var largest = HIDDEN;
#for o OCTETS
    var scores$o = scoreAt(row * SCORE_PITCH + ($ou * PARTS + part) * 2u);
    {
      let key = firstKey + ($ou * PARTS + part) * 8u;
#if BIAS
      scores$o.low += biasesAt(image, head, key, firstQuery + row) / SCALE;
      scores$o.high += biasesAt(image, head, key + 4u, firstQuery + row) / SCALE;
#endif
      if (firstKey + KEYS > dims.keys) {
        let count = vec4u(dims.keys);
        scores$o.low = select(vec4f(HIDDEN), scores$o.low, vec4u(key) + vec4u(0u, 1u, 2u, 3u) < count);
        scores$o.high = select(vec4f(HIDDEN), scores$o.high, vec4u(key) + vec4u(4u, 5u, 6u, 7u) < count);
      }
      largest = max(largest, largestOf(scores$o));
    }
#endfor
    for (var other = 1u; other < PARTS; other *= 2u) {
      largest = max(largest, subgroupShuffleXor(largest, other));
    }
    if (firstKey == 0u) {
      reference = fma(largest, LOG2_SCALE, MARGIN);
    }
    if (largest * LOG2_SCALE - reference > HEADROOM) {
      atomicStore(&vote, 1u);
    }
    // All have read their scores when they know the outcome.
    if (workgroupUniformLoad(&vote) != 0u) {
      let raised = max(reference, fma(largest, LOG2_SCALE, MARGIN));
      let fade = exp2(reference - raised);
      reference = raised;
      added *= fade;
      if (part == 0u) {
        factors[row] = fade;
      }
      atomicStore(&vote, 0u);
#for c CN
      if (working) {
#for i RM
        subgroupMatrixStore<row_major>(&tile, subgroup * COLUMN + M * N / 4u * $iu, sum$i_$c, N / 4u);
#endfor
      }
      workgroupBarrier();
      for (var e = lane % LANES; e < COLUMN; e += LANES) {
        let at = own * COLUMN + e;
        tile[at] = bitcast<vec4u>(bitcast<vec4f>(tile[at]) * factors[e / (N / 4u)]);
      }
      workgroupBarrier();
      if (working) {
#for i RM
        sum$i_$c = subgroupMatrixLoad<Sum, row_major>(&tile, subgroup * COLUMN + M * N / 4u * $iu, N / 4u);
#endfor
      }
      workgroupBarrier();
#endfor
    }
#for o OCTETS
    {
      let weight = weigh(scores$o, reference);
      let both = weight.low + weight.high;
      added += both.x + both.y + both.z + both.w;
      keep(row * WEIGHT_PITCH + ($ou * PARTS + part) * OCTET, weight);
    }
#endfor

    for (var first = 0u; first < KEYS; first += VALUES) {
#for n LOADS_V
#if RAGGED_V
      if (keyV$n < VALUES) {
        stage(V_TILE + keyV$n * V_PITCH + vectorV$n * SPREAD, valueV$n);
      }
#else
      stage(V_TILE + keyV$n * V_PITCH + vectorV$n * SPREAD, valueV$n);
#endif
#endfor
      if (first + VALUES < KEYS) {
#for n LOADS_V
        valueV$n = v[baseV + min(firstKey + first + VALUES + keyV$n, dims.keys - 1u) * V_WIDTH + vectorV$n];
#endfor
      } else {
#for n LOADS_Q
        valueQ$n = q[baseQ$n + min(vector, D - 1u)];
#endfor
#for n LOADS_K
        fromK$n = baseK + min(firstKey + KEYS + rowK$n, dims.keys - 1u) * K_WIDTH;
        valueK$n = k[fromK$n + min(vector, D - 1u)];
#endfor
      }
      workgroupBarrier();
      if (working) {
#for d VN
#for i RM
        let weight$d_$i = subgroupMatrixLoad<Left, row_major>(&tile, M * $iu * WEIGHT_PITCH + (first / N + $du) * CHUNK, WEIGHT_PITCH);
#endfor
#for c CN
        let v$d_$c = subgroupMatrixLoad<Right, row_major>(&tile, V_TILE + N * $du * V_PITCH + (subgroup * CN + $cu) * CHUNK, V_PITCH);
#for i RM
        sum$i_$c = subgroupMatrixMultiplyAccumulate(weight$d_$i, v$d_$c, sum$i_$c);
#endfor
#endfor
#endfor
      }
      workgroupBarrier();
    }
  }

  for (var other = 1u; other < PARTS; other *= 2u) {
    added += subgroupShuffleXor(added, other);
  }
  if (part == 0u) {
    factors[row] = 1.0 / added;
  }
#for c CN
  if (working) {
#for i RM
    subgroupMatrixStore<row_major>(&tile, subgroup * COLUMN + M * N / 4u * $iu, sum$i_$c, N / 4u);
#endfor
  }
  workgroupBarrier();
  for (var e = lane % LANES; e < COLUMN; e += LANES) {
    let finished = e / (N / 4u);
    let query = firstQuery + finished;
    let channel = (own * CN + $cu) * (N / 4u) + e % (N / 4u);
    if (query < dims.queries && channel < HEAD_VECTORS) {
      y[((image * dims.queries + query) * HEADS + head) * HEAD_VECTORS + channel] = vec4<y_t>(bitcast<vec4f>(tile[own * COLUMN + e]) * factors[finished]);
    }
  }
  workgroupBarrier();
#endfor
}
