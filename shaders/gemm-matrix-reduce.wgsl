// Second half of a product on matrices whose sums went through memory: adds the partial ones of a row's four columns, and finishes.
// Which activation is in Dims, so that those few that are not gated have one pipeline.
// Gated columns come in pairs of GATE values and GATE gates, as src/kernels/packing.ts lays them out.
// Four or eight parts asked for at once take as long (H100, 2 to 13 parts).
#include "lib/flat.wgsl"
struct Dims { rows: u32, columns: u32, splits: u32, partRows: u32, partColumns: u32, imageRows: u32, biased: u32, rowed: u32, added: u32, activation: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(9) var<storage, read_write> scratch0: array<vec4f>;
const COLUMNS: u32 = 4u;
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
  var sum = vec4f();
  var gate = vec4f();
  var last = vec4f();
  if (dims.biased != 0u) {
    sum = biasAt(column);
#if GATED
    gate = biasAt(dims.columns + column);
#endif
  }
#if ROWED
  if (dims.rowed != 0u) {
    sum += rowVector(row, column);
  }
#endif
  if (dims.added == 1u) {
    last = residualAt(place);
  } else if (dims.added == 2u) {
    last = resultAt(place);
  }
  for (var split = 0u; split < dims.splits; split++) {
    let at = ((split * dims.partRows + row) * dims.partColumns + packed) / 4u;
    sum += scratch0[at];
#if GATED
    gate += scratch0[at + GATE / 4u];
#endif
  }
#if GATED
  sum *= gelu(gate);
#endif
  y[place] = vec4<y_t>(activate(sum + last));
}
