// Where a row of the implicit GEMM (an output pixel, or a row of a linear layer) reads its input, and the loads.
// The sum runs over TAPS taps of the filter and, inside a tap, over V1 + V2 vectors of the sources' channels.
#if CONV
// Image, top and left of the filter over the input as the filter sees it: doubled if UPSAMPLE.
alias Corner = vec3i;

fn cornerOf(row: u32) -> Corner {
  let column = i32(row % dims.outWidth);
  let line = i32((row / dims.outWidth) % dims.outHeight);
  let corner = vec3i(i32(row / (dims.outWidth * dims.outHeight)), line * i32(STRIDE) - i32(PAD_TOP), column * i32(STRIDE) - i32(PAD_LEFT));
  return select(vec3i(0, -0x1000000, 0), corner, row < dims.rows);
}

// Index of the pixel under a tap; -1 in the padding.
fn pixelAt(corner: Corner, tap: u32) -> i32 {
  let y = corner.y + i32(tap / KERNEL_WIDTH);
  let x = corner.z + i32(tap % KERNEL_WIDTH);
  let height = i32(dims.height);
  let width = i32(dims.width);
#if UPSAMPLE
  // `&`, not `&&`: each `&&` is a branch, and SwiftShader compiles eight rows of them for half a minute.
  let inside = (y >= 0) & (x >= 0) & (y < 2 * height) & (x < 2 * width);
  return select(-1, (corner.x * height + (y >> 1u)) * width + (x >> 1u), inside);
#else
  let inside = (y >= 0) & (x >= 0) & (y < height) & (x < width);
  return select(-1, (corner.x * height + y) * width + x, inside);
#endif
}
#else
alias Corner = i32;

fn cornerOf(row: u32) -> Corner {
  return select(-1, i32(row), row < dims.rows);
}

fn pixelAt(corner: Corner, tap: u32) -> i32 {
  return corner;
}
#endif
