/** @file What an adapter does not offer that kernels would use, and what its user can do about it. */
import type { DeviceTraits } from '../../kernels/kernel.ts';

/** Sentences for people, the most costly lack first; none for an adapter that has what ordinary pages can get. */
export function describeLacks({
  software,
  f16,
  largestSubgroup,
}: Pick<DeviceTraits, 'software' | 'f16' | 'largestSubgroup'>): readonly string[] {
  return [
    ...(software
      ? [
          'This is no GPU but its imitation on the CPU, many times slower: switch on graphics acceleration in the browser’s settings.',
        ]
      : []),
    ...(f16
      ? []
      : [
          'No 16-bit arithmetic (shader-f16), so steps take longer and more memory: a newer browser or driver may have it.',
        ]),
    ...(largestSubgroup > 0
      ? []
      : ['No subgroups, so norms and sums take longer: a newer browser or driver may have them.']),
  ];
}
