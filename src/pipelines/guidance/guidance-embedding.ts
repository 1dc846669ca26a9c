/** @file The guidance scale as an embedding, for distilled networks that take it as an input (LCM). */

/**
 * diffusers `get_guidance_scale_embedding` (google-research/vdm, model_vdm.py): sines then cosines of
 * 1000 * scale at frequencies 10000^(-i / (half - 1)). The scale is the call's guidance scale less 1.
 * @returns [rows, channels], every row the same
 */
export function guidanceEmbedding(scale: number, channels: number, rows: number): Float32Array {
  const half = Math.floor(channels / 2);
  const out = new Float32Array(rows * channels);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < half; i++) {
      const angle = 1000 * scale * Math.exp((-Math.log(10000) * i) / (half - 1));
      out[row * channels + i] = Math.sin(angle);
      out[row * channels + half + i] = Math.cos(angle);
    }
  return out;
}
