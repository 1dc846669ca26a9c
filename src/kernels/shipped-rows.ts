/**
 * @file What was measured to run fastest on adapters that we know. The kernels' own choices were made on an H100, so only
 * what differs from them is listed. The cache that autotuning leaves behind (`calotype/tuning/*.json` in the user's cache
 * folder) holds rows in this form.
 */

/** Rows by tuning key, for adapters that these words tell. */
export interface ShippedRows {
  /** Found in an adapter's vendor, architecture, device or description. */
  readonly adapter: RegExp;
  readonly rows: Readonly<Record<string, string>>;
}

/** Adapters that are not measured again, with what differs from the kernels' own choices there. */
export const SHIPPED_ROWS: readonly ShippedRows[] = [
  {
    adapter: /\bh100\b|\bh200\b|\bhopper\b/i,
    // Tilings that were faster by themselves (2048x640x2560, convolutions of 8x8 with two sources) made SD1.5's step longer, 10.58 for 10.51 ms.
    rows: {},
  },
];
