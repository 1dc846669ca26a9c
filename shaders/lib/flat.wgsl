// One index for workgroups that were folded into two dimensions (no dimension may have more than 65,535).
fn flatIndex(id: vec3u, count: vec3u) -> u32 {
  return id.x + count.x * id.y;
}
