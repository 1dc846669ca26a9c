// What attention adds to scores, for masks and relative positions. The steps of dims along batch, keys, queries and heads are 0
// where all are alike.
@group(0) @binding(5) var<storage, read> bias: array<bias_t>;

fn biasAt(image: u32, head: u32, key: u32, query: u32) -> f32 {
  let row = image * dims.biasBatch + head * dims.biasHead + min(key, dims.keys - 1u) * dims.biasKey;
  return f32(bias[row + min(query, dims.queries - 1u) * dims.biasQuery]);
}

// Of one key for 4 queries.
fn biasesOf(image: u32, head: u32, key: u32, queries: vec4u) -> vec4f {
  return vec4f(
    biasAt(image, head, key, queries.x),
    biasAt(image, head, key, queries.y),
    biasAt(image, head, key, queries.z),
    biasAt(image, head, key, queries.w),
  );
}
