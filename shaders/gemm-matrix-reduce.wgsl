// Second half of a product on matrices whose sums went through memory: adds the partial ones of a row's four columns, and finishes.
// Which activation is in Dims, so that those few that are not gated have one pipeline.
// Gated columns come in pairs of GATE values and GATE gates, as src/kernels/packing.ts lays them out.
#include "lib/flat.wgsl"
struct Dims { rows: u32, columns: u32, splits: u32, partRows: u32, partColumns: u32, imageRows: u32, biased: u32, rowed: u32, added: u32, activation: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(9) var<storage, read_write> scratch0: array<vec4f>;
#include "lib/gemm-finish.wgsl"

fn activate(v: V) -> V {
  switch (dims.activation) {
    case 1u: {
      return max(v, V(0.0));
    }
    case 2u: {
      return silu(v);
    }
    case 3u: {
      return gelu(v);
    }
    case 4u: {
      return quickGelu(v);
    }
    case 5u: {
      return geluTanh(v);
    }
    case 6u: {
      return boundedTanh(v);
    }
    default: {
      return v;
    }
  }
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flatIndex(group, groups) * 64u + lane;
  let row = i / (dims.columns / 4u);
  let column = i % (dims.columns / 4u) * 4u;
  if (row >= dims.rows) {
    return;
  }
#if GATED
  let packed = column / GATE * (2u * GATE) + column % GATE;
#else
  let packed = column;
#endif
  let place = (row * dims.columns + column) / 4u;
  // Nothing is added before all that is added is asked for.
  var sum = vec4f();
  var gate = vec4f();
  var bias = vec4f();
  var gateBias = vec4f();
  var vector = vec4f();
  var last = vec4f();
  if (dims.biased != 0u) {
    bias = biasAt(column);
#if GATED
    gateBias = biasAt(dims.columns + column);
#endif
  }
  if (dims.rowed != 0u) {
    vector = rowVector(row, column);
  }
  if (dims.added != 0u) {
    last = residualAt(place);
  }
  let between = dims.partRows * dims.partColumns / 4u;
  let first = (row * dims.partColumns + packed) / 4u;
  for (var split = 0u; split < dims.splits; split += AHEAD) {
#for k AHEAD
    let at$k = first + min(split + $ku, dims.splits - 1u) * between;
    let sum$k = scratch0[at$k];
#if GATED
    let gate$k = scratch0[at$k + GATE / 4u];
#endif
#endfor
#for k AHEAD
    if (split + $ku < dims.splits) {
      sum += sum$k;
#if GATED
      gate += gate$k;
#endif
    }
#endfor
  }
  sum += bias + vector;
  gate += gateBias;
#if GATED
  sum *= gelu(gate);
#endif
  y[place] = vec4<y_t>(activate(sum + last));
}
