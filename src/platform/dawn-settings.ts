/** @file Dawn's toggles for three ways of running: as pages run, as pages run with Chrome's flags, and as Node can. */

/** A way of running. */
export type DawnSetting = 'page' | 'flags' | 'native';

/** Exact timestamps change no speed, and without them nothing shorter than 0.1 ms could be timed. */
const EXACT_TIMESTAMPS = 'disable-dawn-features=timestamp_quantization';

/** Dawn's options by setting. */
export const DAWN_SETTINGS: Readonly<Record<DawnSetting, readonly string[]>> = {
  /** What a page gets by default: all checks, no experimental features, and on NVIDIA cards with Vulkan no f16. */
  page: [EXACT_TIMESTAMPS],
  /** What a page gets with chrome://flags/#enable-unsafe-webgpu and f16 on NVIDIA allowed: all checks, with matrices. */
  flags: ['enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia', EXACT_TIMESTAMPS],
  /**
   * What Node uses by default. Robustness and the workgroup memory's zeroing cost 10 to 30 percent and guard against
   * shaders of strangers, which these are not; `vulkan_enable_f16_on_nvidia` and `allow_unsafe_apis` are what gives
   * f16 and subgroup matrices on NVIDIA cards.
   */
  native: [
    'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,disable_robustness,disable_workgroup_init,disable_polyfills_on_integer_div_and_mod',
    EXACT_TIMESTAMPS,
  ],
};
