// The source of a group norm, one or two values read as concatenated: VECTORS vectors of V a position, V1 of them in x.
#if WIDE
alias V = vec4f;
@group(0) @binding(1) var<storage, read> x: array<vec4<x_t>>;
#else
alias V = f32;
@group(0) @binding(1) var<storage, read> x: array<x_t>;
#endif
#if TWO_SOURCES
#if WIDE
@group(0) @binding(2) var<storage, read> x2: array<vec4<x2_t>>;
#else
@group(0) @binding(2) var<storage, read> x2: array<x2_t>;
#endif
#endif

fn readAt(position: u32, vector: u32) -> V {
#if TWO_SOURCES
  if (vector >= V1) {
    return V(x2[position * (VECTORS - V1) + vector - V1]);
  }
#endif
  return V(x[position * V1 + vector]);
}
