/**
 * @file `<lora:name:0.8>` in prompts, as stable-diffusion-webui has it (its wiki, "Features: Lora"): a LoRA to use, taken
 * out of the text. `<lora:name:0.5:1>` (or `te=0.5`, `unet=1` by name) weighs text encoder and UNet apart.
 */

import { OptionError } from '../../errors.ts';

/** A LoRA that a prompt asks for. */
export interface PromptLora {
  readonly name: string;
  /** Weight on the text encoders. Default 1. */
  readonly textEncoder: number;
  /** Weight on the UNet. Default `textEncoder`. */
  readonly unet: number;
}

const NETWORK = /<(\w+):([^<>]+)>/g;

/**
 * Takes the networks out of a prompt.
 * @param field option that the prompt is from, for messages
 * @throws OptionError for other networks than LoRAs, weights that are no numbers, and a name that comes twice
 */
export function extractLoras(prompt: string, field = 'prompt'): { text: string; loras: PromptLora[] } {
  const loras: PromptLora[] = [];
  const text = prompt.replaceAll(NETWORK, (written, kind: string, settings: string) => {
    if (kind !== 'lora' && kind !== 'lyco')
      throw new OptionError(`${written} is not supported`, { field, remedy: 'Only <lora:name:weight> is' });
    const lora = readLora(settings, written, field);
    if (loras.some(({ name }) => name === lora.name))
      throw new OptionError(`<lora:${lora.name}> is there twice`, {
        field,
        remedy: 'Name each LoRA once, with the weight that it is to have',
      });
    loras.push(lora);
    return '';
  });
  return { text, loras };
}

function readLora(settings: string, written: string, field: string): PromptLora {
  const refuse = (problem: string): never => {
    throw new OptionError(`${problem} in ${written}`, {
      field,
      remedy: 'Write <lora:name:0.8>, or <lora:name:0.5:1> for text encoder and UNet',
    });
  };
  const [name, ...values] = settings.split(':').map((value) => value.trim());
  const weights: { te?: number; unet?: number } = {};
  let place = 0;
  for (const value of values) {
    const [, key = ['te', 'unet'][place++], number = ''] = /^(?:(\w+)\s*=)?\s*(.*)$/s.exec(value) ?? [];
    if (key !== 'te' && key !== 'unet') return refuse(`"${value}" is not known`);
    if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(number) || Math.abs(Number(number)) > 1e6)
      return refuse(`"${value}" is not a weight`);
    weights[key] = Number(number);
  }
  if (name === '') return refuse('there is no name');
  const { te: textEncoder = 1, unet = textEncoder } = weights;
  return { name, textEncoder, unet };
}
