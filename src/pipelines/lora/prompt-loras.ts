/** @file The adapters that prompts in webui syntax name: `<lora:name:0.8>`. */
import { OptionError } from '../../errors.ts';
import { extractLoras, type PromptLora } from '../../text/webui/networks.ts';
import type { TextOptions } from '../options/call-options.ts';

/**
 * The adapters that the prompts of a call name. All images of a call have the same weights.
 * @throws OptionError for prompts that name different ones
 */
export function promptLoras({
  prompt,
  promptSyntax,
}: Partial<Pick<TextOptions, 'prompt' | 'promptSyntax'>>): readonly PromptLora[] {
  if (promptSyntax !== 'webui' || prompt === undefined) return [];
  const [first = [], ...others] = [prompt].flat().map((text) => extractLoras(text).loras);
  const written = JSON.stringify(first);
  if (others.some((loras) => JSON.stringify(loras) !== written))
    throw new OptionError('the prompts name different LoRAs', {
      field: 'prompt',
      remedy: 'Name the same ones in each prompt, or make a call for each',
    });
  return first;
}
