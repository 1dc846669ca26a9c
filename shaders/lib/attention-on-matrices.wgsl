// What the attention kernels on subgroup matrices share: what they are given, and how scores become weights in the workgroup's
// `tile` of 16-byte vectors.
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
// Eight f16 or four f32 in a vec4<u32>.
@group(0) @binding(1) var<storage, read> q: array<vec4u>;
@group(0) @binding(2) var<storage, read> k: array<vec4u>;
@group(0) @binding(3) var<storage, read> v: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<y_t>>;

#if ELEMENTS == f32
alias Element = f32;
#else
alias Element = f16;
#endif
alias Left = subgroup_matrix_left<Element, N, M>;
alias Right = subgroup_matrix_right<Element, N, N>;
alias Sum = subgroup_matrix_result<f32, N, M>;

#if BIAS
#include "attention-bias.wgsl"

// Of 4 keys for one query.
fn biasesAt(image: u32, head: u32, key: u32, query: u32) -> vec4f {
  return vec4f(
    biasAt(image, head, key, query),
    biasAt(image, head, key + 1u, query),
    biasAt(image, head, key + 2u, query),
    biasAt(image, head, key + 3u, query),
  );
}
#endif

// Vectors of a tile that a vector of the input takes, and eight weights.
#if WIDEN
const SPREAD: u32 = 2u;
#else
const SPREAD: u32 = 1u;
#endif
#if ELEMENTS == f32
const OCTET: u32 = 2u;
#else
const OCTET: u32 = 1u;
#endif

// Stands for minus infinity, which WGSL does not promise.
const HIDDEN: f32 = -1e30;
// Weights are 2 to the power of scores times this.
const LOG2_SCALE: f32 = SCALE * 1.44269504;
const HEADROOM: f32 = 15.0;
// By how much, as a power of 2, weights of the largest scores of the first step stay below 1.
const MARGIN: f32 = 4.0;

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

// Puts eight weights where they are multiplied.
fn keep(at: u32, weight: Octet) {
#if ELEMENTS == f32
  tile[at] = bitcast<vec4u>(weight.low);
  tile[at + 1u] = bitcast<vec4u>(weight.high);
#else
  tile[at] = pack(weight);
#endif
}

// Puts a vector of the input into a tile.
fn stage(at: u32, value: vec4u) {
#if WIDEN
  tile[at] = bitcast<vec4u>(vec4f(unpack2x16float(value.x), unpack2x16float(value.y)));
  tile[at + 1u] = bitcast<vec4u>(vec4f(unpack2x16float(value.z), unpack2x16float(value.w)));
#else
  tile[at] = value;
#endif
}

fn scoreAt(vector: u32) -> Octet {
  return Octet(bitcast<vec4f>(tile[vector]), bitcast<vec4f>(tile[vector + 1u]));
}

fn largestOf(score: Octet) -> f32 {
  let both = max(score.low, score.high);
  return max(max(both.x, both.y), max(both.z, both.w));
}
