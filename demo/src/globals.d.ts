/** @file What the build puts in. */

/** Version of calotype, for recipes. */
declare const __CALOTYPE_VERSION__: string;
