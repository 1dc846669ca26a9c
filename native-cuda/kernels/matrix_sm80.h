/** @file What matrix products and convolutions can do on cards without wgmma alone. */
#pragma once

/** A bit of their `flags`, beside those of CalotypeFlags. */
enum {
  /**
   * Products of halves are summed in halves, 128 at a time, before they are added to a sum in f32: GeForce cards multiply
   * twice as fast so. CALOTYPE_UNSUPPORTED on Hopper, which does not.
   */
  CALOTYPE_HALF_SUMS = 2
};
