/**
 * Nearest-neighbour resize, source indices computed in f32 as torch does.
 * Arguments: x, y, height, width, output height, output width, bytes a pixel, height / output height and
 * width / output width as f32. A task does one row of one output image.
 */
export function upsampleNearest(args: usize, task: i32, scratch: usize): void {
  const height = load<i32>(args, 8);
  const width = load<i32>(args, 12);
  const outHeight = load<i32>(args, 16);
  const outWidth = load<i32>(args, 20);
  const pixel = load<usize>(args, 24);
  const row = sourceIndex(task % outHeight, height, load<f32>(args, 28));
  const from = load<usize>(args) + <usize>((task / outHeight) * height + row) * <usize>width * pixel;
  let to = load<usize>(args, 4) + <usize>task * <usize>outWidth * pixel;
  const scale = load<f32>(args, 32);
  for (let column = 0; column < outWidth; column++, to += pixel)
    memory.copy(to, from + <usize>sourceIndex(column, width, scale) * pixel, pixel);
}

function sourceIndex(to: i32, size: i32, scale: f32): i32 {
  return min(<i32>floor<f32>(<f32>to * scale), size - 1);
}
