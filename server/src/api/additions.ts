/** @file The ControlNets and IP-Adapters that a server offers, and what requests of every API ask of them. */
import { OptionError } from 'calotype';
import type { DrawRequest } from '../draw-request.ts';
import { type AddedSource, findAdded } from '../models.ts';

/** What goes with the models. */
export interface Additions {
  readonly controlnets: readonly AddedSource[];
  readonly ipAdapters: readonly AddedSource[];
}

/** What a request asks for. */
export type AddedRequest = Required<Pick<DrawRequest, 'controls' | 'guessMode' | 'imagePrompts'>>;

/**
 * Checks names and numbers; gives the fields of a job, of which there are none where nothing is asked for.
 * @param field of the request, for messages
 * @throws OptionError
 */
export function readAdded(
  { controls, guessMode, imagePrompts }: AddedRequest,
  model: string,
  { controlnets, ipAdapters }: Additions,
  field: { readonly control: string; readonly prompt: string },
): Partial<AddedRequest> {
  for (const { name, start, end } of controls) {
    findAdded(controlnets, model, name, 'ControlNet', field.control);
    if (start >= end)
      throw new OptionError(`${start} to ${end} is no part of the steps`, {
        field: field.control,
        remedy: 'Let it begin before it ends',
      });
  }
  for (const { name } of imagePrompts) findAdded(ipAdapters, model, name, 'IP-Adapter', field.prompt);
  refuseTwice(controls, field.control);
  refuseTwice(imagePrompts, field.prompt);
  if (guessMode && controls.length === 0)
    throw new OptionError('there is no ControlNet that it could apply to', {
      field: 'guess_mode',
      remedy: 'Leave it out',
    });
  return {
    ...(controls.length > 0 && { controls, guessMode }),
    ...(imagePrompts.length > 0 && { imagePrompts }),
  };
}

function refuseTwice(list: readonly { readonly name: string }[], field: string): void {
  const twice = list.find(({ name }, i) => list.findIndex((one) => one.name === name) < i);
  if (twice) throw new OptionError(`'${twice.name}' is there twice`, { field, remedy: 'Name each once' });
}
