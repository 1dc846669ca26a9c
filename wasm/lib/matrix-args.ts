/**
 * Argument slots, in bytes, that all kernels of matrix products share; src/backends/cpu/kernels/gemm.ts fills them.
 * A linear layer is a 1x1 convolution of an image one pixel wide.
 */

export const Y: usize = 0;
export const BIAS: usize = 4;
/** Vectors added to all pixels of an image, and which of them each image takes (absent: its own). */
export const ROWS: usize = 8;
export const ROW_INDEX: usize = 12;
export const RESIDUAL: usize = 16;
/** Channels of the output, after gating. */
export const COLUMNS: usize = 20;
export const ACTIVATION: usize = 24;
/** Whether columns come as 8 values, the 8 gates of these, and so on. */
export const GATED: usize = 28;

/** Two sources, read as if concatenated along channels. */
export const X: usize = 32;
export const X2: usize = 36;
export const C1: usize = 40;
export const C2: usize = 44;
export const HEIGHT: usize = 48;
export const WIDTH: usize = 52;
/** 1 if every pixel of the sources stands for 2 x 2. */
export const UPSAMPLE: usize = 56;
export const PAD_TOP: usize = 60;
export const PAD_LEFT: usize = 64;
export const OUT_HEIGHT: usize = 68;
export const OUT_WIDTH: usize = 72;

/** Packed weight and its stored type. */
export const WEIGHT: usize = 76;
export const WEIGHT_TYPE: usize = 80;

/** The first slot of a kernel's own. */
export const OWN: usize = 84;
