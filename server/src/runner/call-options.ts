/** @file A job as a call of a pipeline. */
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

/** Options of the call that draws a job; its pictures have a generator each. */
export function callOptions(
  request: DrawRequest,
  recommended: DiffusionPipeline['recommended'],
): CallOptions {
  const {
    prompt,
    negativePrompt,
    image,
    mask,
    scheduler: _scheduler,
    model: _model,
    seeds,
    previews: _previews,
    output: _output,
    controls: _controls,
    imagePrompts: _imagePrompts,
    guessMode: _guessMode,
    webuiSettings: _webuiSettings,
    ...settings
  } = request;
  // The size that a model recommends is not that of a picture to begin with.
  const { height: _height, width: _width, ...withoutSize } = recommended;
  return {
    ...(image ? withoutSize : recommended),
    ...settings,
    prompt: seeds.map(() => prompt),
    ...(negativePrompt !== undefined && { negativePrompt: seeds.map(() => negativePrompt) }),
    seed: seeds,
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
