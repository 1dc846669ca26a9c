/** @file `calotype bench picture`: a whole picture with the model's recommended settings, the first and later ones. */
import type { BackendFactory, FloatDType, MemoryOption, UsedMemory } from 'calotype';
import { DiffusionPipeline } from 'calotype';
import type { Advance } from '../progress.ts';
import { binaryBytes, median } from '../table.ts';

/** What to time. */
export interface PictureBenchRequest {
  readonly model: string;
  readonly prompt: string;
  readonly backends: readonly BackendFactory[];
  readonly dtype: 'auto' | FloatDType;
  readonly size: { readonly width?: number; readonly height?: number };
  readonly steps: number | undefined;
  /** The most memory that may be used; default as much as is needed. */
  readonly memory?: MemoryOption | undefined;
  /** Pictures after the first. */
  readonly repeats: number;
  readonly signal: AbortSignal;
  readonly onAdvance: (advance: Advance) => void;
}

/** Times in seconds. */
export interface PictureBenchmark {
  readonly backend: string;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  /** Since this process began, everything included. */
  readonly cold: number;
  /** Median of the pictures after the first. */
  readonly warm: number;
  /** Median of their denoising, by step. */
  readonly step: number;
  /** What the backend held at most for a picture, where it counts bytes. */
  readonly memory?: UsedMemory;
  /** What had to be done to keep within the budget. */
  readonly notices: readonly string[];
  /** Most memory that this process has held at once, in bytes. */
  readonly peakBytes: number;
}

/** Draws pictures; gives text for people, and data. */
export async function benchPicture(
  request: PictureBenchRequest,
): Promise<{ text: string; data: PictureBenchmark }> {
  const { model, prompt, backends, dtype, size, steps, memory, repeats, signal, onAdvance } = request;
  const options = { backends, dtype, signal, ...(memory && { memory }) };
  const pipe = await DiffusionPipeline.fromPretrained(model, options);
  try {
    const call = {
      ...pipe.recommended,
      ...size,
      ...(steps !== undefined && { numInferenceSteps: steps }),
      prompt,
      signal,
    };
    const first = await pipe({ ...call, seed: 7 });
    const cold = performance.now() / 1000;
    const seconds: number[] = [];
    const stepSeconds: number[] = [];
    const { numInferenceSteps, width, height } = first.options;
    let used = first.memory;
    for (let i = 0; i < repeats; i++) {
      onAdvance({ phase: 'picture', done: i, total: repeats });
      const begin = performance.now();
      const { timings, memory: held } = await pipe({ ...call, seed: 8 + i });
      seconds.push((performance.now() - begin) / 1000);
      stepSeconds.push(timings.denoise / numInferenceSteps);
      used = held ?? used;
    }
    const data: PictureBenchmark = {
      backend: `${pipe.backend.name} (${pipe.backend.description})`,
      width,
      height,
      steps: numInferenceSteps,
      cold,
      warm: median(seconds),
      step: median(stepSeconds),
      ...(used && { memory: used }),
      notices: [...pipe.notices],
      peakBytes: process.resourceUsage().maxRSS * 1024,
    };
    return { text: formatPicture(data), data };
  } finally {
    await pipe.dispose();
  }
}

/** The report as text. */
export function formatPicture({
  backend,
  width,
  height,
  steps,
  cold,
  warm,
  step,
  memory,
  notices,
  peakBytes,
}: PictureBenchmark): string {
  return [
    `${width}x${height}, ${steps} steps on ${backend}`,
    `first picture ${cold.toFixed(2)} s after the process began; later ones ${warm.toFixed(2)} s, ${(step * 1000).toFixed(1)} ms a step (medians)`,
    ...(memory
      ? [
          `on the device at most ${binaryBytes(memory.peakDeviceBytes)}, of the host's memory ${binaryBytes(memory.peakHostBytes)} beside it`,
        ]
      : []),
    ...notices,
    `most memory held at once: ${(peakBytes / 1e6).toFixed(0)} MB`,
  ].join('\n');
}
