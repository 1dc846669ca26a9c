/** @file One call of a pipeline for several jobs. */
import {
  type CallOptions,
  type DiffusionPipeline,
  decodePng,
  type Recipe,
  type Scheduler,
  SCHEDULER_PRESETS,
  type SchedulerPreset,
  type UsedOptions,
} from 'calotype';
import type { DrawRequest, MaskFile } from '../draw-request.ts';
import { readMask } from './pictures.ts';

/** Options of the call that draws these jobs, one row for each picture in their order; their batch keys are equal. */
export function batchOptions(
  requests: readonly DrawRequest[],
  recommended: DiffusionPipeline['recommended'],
): CallOptions {
  const rows = requests.flatMap((request) => request.seeds.map((seed) => ({ ...request, seed })));
  const [first] = requests;
  const {
    image,
    mask,
    scheduler: _scheduler,
    model: _model,
    seeds: _seeds,
    previews: _previews,
    ...settings
  } = first;
  // The size that a model recommends is not that of a picture to begin with.
  const { height: _height, width: _width, ...withoutSize } = recommended;
  return {
    ...(image ? withoutSize : recommended),
    ...settings,
    prompt: rows.map(({ prompt }) => prompt),
    ...(first.negativePrompt !== undefined && {
      negativePrompt: rows.map(({ negativePrompt = '' }) => negativePrompt),
    }),
    seed: rows.map(({ seed }) => seed),
    ...(image && { image: decodePng(image, 'image').image }),
    ...maskOption(mask),
  };
}

function maskOption(mask: MaskFile | undefined): Pick<CallOptions, 'maskImage'> {
  return mask ? { maskImage: readMask(mask) } : {};
}

/** A scheduler with the settings of the model's own. */
export function schedulerOf(choice: SchedulerPreset | undefined, own: Scheduler): Scheduler {
  return choice === undefined ? own : SCHEDULER_PRESETS[choice].fromConfig(own.config);
}

/** What the pictures of a call have in common, for their descriptions. */
export type SharedSettings = Pick<
  Recipe,
  | 'model'
  | 'numInferenceSteps'
  | 'guidanceScale'
  | 'guidanceRescale'
  | 'strength'
  | 'scheduler'
  | 'useKarrasSigmas'
> & { readonly clipSkip?: number };

/** The settings that a call ran with. */
export function settingsOf(used: UsedOptions, scheduler: Scheduler, model: string): SharedSettings {
  const { numInferenceSteps, guidanceScale, guidanceRescale, clipSkip, strength } = used;
  const { config } = scheduler;
  return {
    model,
    numInferenceSteps,
    guidanceScale,
    ...(guidanceRescale > 0 && { guidanceRescale }),
    ...(clipSkip !== undefined && { clipSkip }),
    ...(strength !== undefined && { strength }),
    scheduler: String(config['_class_name']),
    ...(config['use_karras_sigmas'] === true && { useKarrasSigmas: true }),
  };
}
