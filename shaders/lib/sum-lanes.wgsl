// Sums over the LANES lanes of one reduction. LANES == 1 is for software adapters: REDUCTIONS lanes of a workgroup
// each do a reduction of their own, without barriers. Else the workgroup is one reduction of LANES lanes.
#if LANES == 1
fn reductionIndex(group: u32, lane: u32) -> u32 {
  return group * REDUCTIONS + lane;
}

fn laneOf(index: u32) -> u32 {
  return 0u;
}

fn sumLanes(value: f32, lane: u32) -> f32 {
  return value;
}
#else
fn reductionIndex(group: u32, lane: u32) -> u32 {
  return group;
}

fn laneOf(index: u32) -> u32 {
  return index;
}

#if SUBGROUPS
enable subgroups;
var<workgroup> laneSums: array<f32, LANES / SUBGROUP_SIZE>;

fn sumLanes(value: f32, lane: u32) -> f32 {
  let part = subgroupAdd(value);
  workgroupBarrier();
  if (lane % SUBGROUP_SIZE == 0u) {
    laneSums[lane / SUBGROUP_SIZE] = part;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < LANES / SUBGROUP_SIZE; i++) {
    total += laneSums[i];
  }
  return total;
}
#else
var<workgroup> laneSums: array<f32, LANES>;

fn sumLanes(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  laneSums[lane] = value;
  workgroupBarrier();
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    if (lane < width) {
      laneSums[lane] += laneSums[lane + width];
    }
    workgroupBarrier();
  }
  return laneSums[0];
}
#endif
#endif
