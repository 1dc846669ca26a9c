// Partial sums of a GEMM whose sum is split over workgroups: f32, [splits][dims.partRows][PACKED_N].
@group(0) @binding(9) var<storage, read_write> scratch0: array<vec4f>;

fn partialIndex(split: u32, row: u32, column: u32) -> u32 {
  return ((split * dims.partRows + row) * PACKED_N + column) / 4u;
}
