/** @file What a call asks of a pipeline: its task, its ControlNets, and its options, checked and filled in. */

import type { CallOptions, CheckedOptions, OptionDefaults } from './options/call-options.ts';
import { checkOptions } from './options/check-options.ts';
import { refuse } from './options/checks.ts';
import { taskDefaults, type FamilyMember } from './families/families.ts';
import type { Control } from './control/control.ts';
import { CONTROL_OPTIONS } from './control/control-options.ts';
import { CONTROL } from './control/control-part.ts';
import { isInpaintingUNet, readTask, sizeOfImage, type Task } from './options/image-options.ts';
import { checkIsOptions } from '../option-names.ts';
import type { LoadedPipeline } from './load/loaded-pipeline.ts';
import { PIXART } from './families/pixart-part.ts';

/** What a call asks for. */
export interface AskedCall {
  readonly task: Task;
  readonly control: Control | undefined;
  /** Its options, with the size that is drawn. */
  readonly checked: CheckedOptions;
  /** The same with the size that was asked for; another object if that is another. */
  readonly asked: CheckedOptions;
}

/** Reads a call of a pipeline. Throws OptionError. */
export function readCall(loaded: LoadedPipeline, member: FamilyMember, options: CallOptions): AskedCall {
  const { className, unet, vae } = loaded;
  checkIsOptions(className, options);
  const task = readTask(options, {
    latentChannels: vae.kind.config.latentChannels,
    inpaints: isInpaintingUNet(unet),
    upscales: loaded.lowRes !== undefined,
    refines: member.refines,
  });
  const control = controlOf(loaded, options, task);
  const asked = checkOptions(
    options,
    defaultsOf(loaded, task, control),
    vae.scaleFactor * loaded.granularity,
    member,
  );
  const binned =
    asked.useResolutionBinning === true && PIXART.loaded.binnedSize(asked, unet.sampleSize?.[0] ?? 64);
  const checked = binned ? { ...asked, ...binned } : asked;
  return { task, control, checked, asked };
}

/** What ControlNets do in a call; undefined where no option asks for them. */
function controlOf(
  { controlnets, className }: LoadedPipeline,
  options: CallOptions,
  task: Task,
): Control | undefined {
  const given = CONTROL_OPTIONS.find((name) => options[name] !== undefined);
  if (given === undefined) return undefined;
  if (controlnets.length === 0)
    refuse(
      given,
      'the pipeline was loaded without a ControlNet',
      'Load it with fromPretrained(model, { controlnet })',
    );
  const isXl = className === 'StableDiffusionXLPipeline';
  return CONTROL.loaded.readControl(options, given, controlnets, task, isXl);
}

/** diffusers' defaults of the pipeline class that a task belongs to. */
function defaultsOf(
  { className, unet, vae, lowRes }: LoadedPipeline,
  task: Task,
  control: Control | undefined,
): OptionDefaults {
  const defaults = taskDefaults(className, task.kind, control !== undefined);
  const { scaleFactor } = vae;
  const [latentHeight, latentWidth] = unet.sampleSize ?? [64, 64];
  const pictured =
    task.kind === 'image' || task.kind === 'upscale' || (task.kind === 'inpaint' && control)
      ? task.image
      : control?.images[0];
  if (!pictured) return { ...defaults, height: latentHeight * scaleFactor, width: latentWidth * scaleFactor };
  const size = sizeOfImage(pictured, scaleFactor);
  const height = size.height - (size.height % scaleFactor);
  const width = size.width - (size.width % scaleFactor);
  if (task.kind !== 'upscale') return { ...defaults, height, width };
  // A pixel of the picture is a latent of the upscaler.
  const { maxNoiseLevel = 0 } = lowRes ?? {};
  return { ...defaults, maxNoiseLevel, height: height * scaleFactor, width: width * scaleFactor };
}
