/** @file What the launches of kernels for tensor cores have in common (kernels/calotype.h). */

/** CALOTYPE_OVERLAP: the kernel may be scheduled before the one ahead of it has ended, where the card can do that. */
export const OVERLAP = 1;

/** The tile that was measured best for a shape. */
export const MEASURED = -1;
