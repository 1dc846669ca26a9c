/** @file Times a VAE decoding pictures on a backend, with random weights, from its configuration alone. */

import type { Backend } from '../../backends/backend.ts';
import { memoryOf, timeProgram, type NetworkBenchmark, type TimingOptions } from './benchmark.ts';
import { Network } from '../network.ts';
import { randomWeights } from './random-weights.ts';
import { Vae, vaeGraphs, type VaeConfig } from '../image/vae.ts';

/** What to time. */
export interface VaeBenchmarkOptions extends TimingOptions {
  /** Pictures at once. */
  readonly batch: number;
  /** Of the latents. */
  readonly height: number;
  readonly width: number;
}

/** Compiles and times a VAE's decoder. */
export async function benchmarkVae(
  backend: Backend,
  config: VaeConfig,
  options: VaeBenchmarkOptions,
): Promise<NetworkBenchmark> {
  const { batch, dtype, height, width, onProgress, signal } = options;
  const weights = backend.createWeights(randomWeights(vaeGraphs(config).decoder));
  const vae = new Vae(new Network('vae', backend, dtype, weights), config);
  const begin = performance.now();
  try {
    const shape = [batch, config.config.latentChannels, height, width] as const;
    const program = await vae.prepare(shape, { signal, onProgress });
    const compileSeconds = (performance.now() - begin) / 1000;
    const count = shape.reduce((a, b) => a * b, 1);
    program.write(
      'latents',
      Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898)),
    );
    const times = await timeProgram(backend, program, () => program.run(), options);
    return { compileSeconds, memoryBytes: memoryOf([program], weights.bytes), ...times };
  } finally {
    vae.dispose();
  }
}
