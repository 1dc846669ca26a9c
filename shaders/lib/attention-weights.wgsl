// What the attention kernels on subgroup matrices share: how scores become weights in the workgroup's `tile` of 16-byte vectors.
#if BIAS
#include "lib/attention-bias.wgsl"

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
