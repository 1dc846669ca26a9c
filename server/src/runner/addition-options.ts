/** @file The ControlNets and IP-Adapters of a job, as options of a call of a pipeline that has all that are offered. */
import { type CallOptions, decodePng } from 'calotype';
import type { DrawRequest } from '../draw-request.ts';
import { type AddedSource, findAdded } from '../models.ts';

/** An IP-Adapter's place, as `loadIpAdapter` takes it. */
export interface IpAdapterSource extends AddedSource {
  readonly subfolder: string;
  readonly weightName: string;
}

/**
 * @param nets those of the pipeline, in its order
 * @throws OptionError for one that is not among them, FileFormatError for pictures
 */
export function controlOptions(
  { model, controls = [], guessMode = false }: DrawRequest,
  nets: readonly AddedSource[],
): CallOptions {
  if (controls.length === 0) return {};
  // A worker may have been started with others than its server.
  for (const { name } of controls) findAdded(nets, model, name, 'ControlNet', 'controlnet');
  const asked = nets.map(({ name }) => controls.find((control) => control.name === name));
  return {
    controlImage: asked.map((control) => (control ? decodePng(control.image, 'control_image').image : null)),
    controlnetConditioningScale: asked.map((control) => control?.scale ?? 1),
    controlGuidanceStart: asked.map((control) => control?.start ?? 0),
    controlGuidanceEnd: asked.map((control) => control?.end ?? 1),
    guessMode,
  };
}

/**
 * `scales` are for `setIpAdapterScale`.
 * @param adapters those of the pipeline, in its order
 * @throws OptionError for one that is not among them, FileFormatError for pictures
 */
export function imagePromptOptions(
  { model, imagePrompts = [] }: DrawRequest,
  adapters: readonly AddedSource[],
): Pick<CallOptions, 'ipAdapterImage'> & { readonly scales: number[] } {
  for (const { name } of imagePrompts) findAdded(adapters, model, name, 'IP-Adapter', 'ip_adapter');
  const asked = adapters.map(({ name }) => imagePrompts.find((prompt) => prompt.name === name));
  return {
    ipAdapterImage: asked.map((prompt) =>
      prompt ? decodePng(prompt.image, 'ip_adapter_image').image : null,
    ),
    scales: asked.map((prompt) => prompt?.scale ?? 1),
  };
}
