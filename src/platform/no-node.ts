/** @file What `#node-platform` is where there is no Node: nothing. */
import type { NodePlatform } from './node-platform.ts';

export const node: NodePlatform | undefined = undefined;
