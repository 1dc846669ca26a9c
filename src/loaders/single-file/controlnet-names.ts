/** @file A ControlNet in one file: its tensors under diffusers' names, from the original (cldm) layout or from diffusers'. */

import { unetLayout, type UNetLayer, type UNetLayout } from './unet-names.ts';

/** What a ControlNet's file holds. */
export interface ControlNetLayout extends Pick<UNetLayout, 'down' | 'middle'> {
  /** Name in the file by diffusers' name. */
  readonly names: ReadonlyMap<string, string>;
}

/** How names in the original layout may begin. */
const PREFIXES = ['control_model.', ''];
const HINT = 'input_hint_block.';

/** The layout of a file with these names; undefined for one that holds no ControlNet. */
export function controlNetLayout(keys: readonly string[]): ControlNetLayout | undefined {
  for (const prefix of PREFIXES) if (keys.includes(`${prefix}${HINT}0.weight`)) return original(keys, prefix);
  return keys.includes('controlnet_cond_embedding.conv_in.weight') ? inDiffusersLayout(keys) : undefined;
}

function original(keys: readonly string[], prefix: string): ControlNetLayout {
  const own = keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  const { names, down, middle } = unetLayout(own);
  const renamed = new Map([...names].map(([name, key]) => [name, prefix + key]));
  // The sequence of convolutions with activations between them: every other number.
  const hints = own.flatMap((key) => /^input_hint_block\.(\d+)\.weight$/.exec(key)?.[1] ?? []).map(Number);
  const last = Math.max(...hints);
  for (const key of own) {
    const [, block, number, tensor] =
      /^(input_hint_block|zero_convs|middle_block_out)\.(\d+)(?:\.0)?\.(weight|bias)$/.exec(key) ?? [];
    if (block === undefined) continue;
    const index = Number(number);
    const name =
      block === 'zero_convs'
        ? `controlnet_down_blocks.${index}`
        : block === 'middle_block_out'
          ? 'controlnet_mid_block'
          : `controlnet_cond_embedding.${index === 0 ? 'conv_in' : index === last ? 'conv_out' : `blocks.${index / 2 - 1}`}`;
    renamed.set(`${name}.${tensor}`, prefix + key);
  }
  return { names: renamed, down, middle };
}

function inDiffusersLayout(keys: readonly string[]): ControlNetLayout {
  const down: UNetLayer[][] = [];
  const middle = { resnets: new Array<string>(), attentions: new Array<string>() };
  const has = (path: string): boolean => keys.some((key) => key.startsWith(`${path}.`));
  for (let level = 0; has(`down_blocks.${level}`); level++) {
    const layers: UNetLayer[] = [];
    for (let i = 0; has(`down_blocks.${level}.resnets.${i}`); i++) {
      const attention = `down_blocks.${level}.attentions.${i}`;
      layers.push({
        resnet: `down_blocks.${level}.resnets.${i}`,
        attention: has(attention) ? attention : undefined,
      });
    }
    down.push(layers);
  }
  for (const kind of ['resnets', 'attentions'] as const)
    for (let i = 0; has(`mid_block.${kind}.${i}`); i++) middle[kind].push(`mid_block.${kind}.${i}`);
  return { names: new Map(keys.map((key) => [key, key])), down, middle };
}
