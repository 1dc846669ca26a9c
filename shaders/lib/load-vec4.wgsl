// Four neighbouring channels of a pixel, zero for pixel -1 and beyond the channels: loadFirst takes vector `c` of x,
// loadSecond of x2, and loadVector of the V1 + V2 vectors of both, read as concatenated.
#if WIDE_X
@group(0) @binding(1) var<storage, read> x: array<vec4<x_t>>;

fn loadFirst(pixel: i32, c: u32) -> vec4f {
  return select(vec4f(), vec4f(x[u32(max(pixel, 0)) * V1 + c]), pixel >= 0);
}
#if TWO_SOURCES
@group(0) @binding(2) var<storage, read> x2: array<vec4<x2_t>>;

fn loadSecond(pixel: i32, c: u32) -> vec4f {
  return select(vec4f(), vec4f(x2[u32(max(pixel, 0)) * V2 + c]), pixel >= 0);
}
#endif
#else
@group(0) @binding(1) var<storage, read> x: array<x_t>;

fn loadX(pixel: u32, channel: u32) -> f32 {
  return select(0.0, f32(x[pixel * C1 + min(channel, C1 - 1u)]), channel < C1);
}

fn loadFirst(pixel: i32, c: u32) -> vec4f {
  let at = u32(max(pixel, 0));
  let first = 4u * c;
  let value = vec4f(loadX(at, first), loadX(at, first + 1u), loadX(at, first + 2u), loadX(at, first + 3u));
  return select(vec4f(), value, pixel >= 0);
}
#if TWO_SOURCES
@group(0) @binding(2) var<storage, read> x2: array<x2_t>;

fn loadX2(pixel: u32, channel: u32) -> f32 {
  return select(0.0, f32(x2[pixel * C2 + min(channel, C2 - 1u)]), channel < C2);
}

fn loadSecond(pixel: i32, c: u32) -> vec4f {
  let at = u32(max(pixel, 0));
  let first = 4u * c;
  let value = vec4f(loadX2(at, first), loadX2(at, first + 1u), loadX2(at, first + 2u), loadX2(at, first + 3u));
  return select(vec4f(), value, pixel >= 0);
}
#endif
#endif

fn loadVector(pixel: i32, c: u32) -> vec4f {
#if TWO_SOURCES
  if (c >= V1) {
    return loadSecond(pixel, c - V1);
  }
#endif
  return loadFirst(pixel, c);
}
