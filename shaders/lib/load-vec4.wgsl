// Four neighbouring channels of a pixel: vector `c` of its V1 + V2 vectors; zero for pixel -1 and beyond the channels.
#if WIDE_X
@group(0) @binding(1) var<storage, read> x: array<vec4<x_t>>;

fn loadVector(pixel: i32, c: u32) -> vec4f {
  let at = u32(max(pixel, 0));
#if TWO_SOURCES
  var value: vec4f;
  if (c < V1) {
    value = vec4f(x[at * V1 + c]);
  } else {
    value = vec4f(x2[at * V2 + c - V1]);
  }
#else
  let value = vec4f(x[at * V1 + c]);
#endif
  return select(vec4f(), value, pixel >= 0);
}
#if TWO_SOURCES
@group(0) @binding(2) var<storage, read> x2: array<vec4<x2_t>>;
#endif
#else
@group(0) @binding(1) var<storage, read> x: array<x_t>;

fn loadX(pixel: u32, channel: u32) -> f32 {
  return select(0.0, f32(x[pixel * C1 + min(channel, C1 - 1u)]), channel < C1);
}
#if TWO_SOURCES
@group(0) @binding(2) var<storage, read> x2: array<x2_t>;

fn loadX2(pixel: u32, channel: u32) -> f32 {
  return select(0.0, f32(x2[pixel * C2 + min(channel, C2 - 1u)]), channel < C2);
}
#endif

fn loadVector(pixel: i32, c: u32) -> vec4f {
  let at = u32(max(pixel, 0));
  let first = 4u * c;
  let value = vec4f(loadX(at, first), loadX(at, first + 1u), loadX(at, first + 2u), loadX(at, first + 3u));
#if TWO_SOURCES
  let second = 4u * (max(c, V1) - V1);
  let value2 = vec4f(loadX2(at, second), loadX2(at, second + 1u), loadX2(at, second + 2u), loadX2(at, second + 3u));
  return select(vec4f(), select(value, value2, c >= V1), pixel >= 0);
#else
  return select(vec4f(), value, pixel >= 0);
#endif
}
#endif
