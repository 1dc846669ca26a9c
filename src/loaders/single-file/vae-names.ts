/** @file An AutoencoderKL in the original (ldm) layout, or under diffusers' own names. */
import type { StoredTensor, TensorMap } from './mapped-weights.ts';

/** Inside the attention: original name, diffusers' name. */
const ATTENTION_PARTS: Readonly<Record<string, string>> = {
  norm: 'group_norm',
  q: 'to_q',
  k: 'to_k',
  v: 'to_v',
  proj_out: 'to_out.0',
};

/** Whether tensor names are those of an AutoencoderKL's decoder, in either layout. */
export function isVae(keys: ReadonlySet<string>): boolean {
  return (
    keys.has('decoder.conv_in.weight') &&
    (keys.has('decoder.mid.block_1.conv1.weight') || keys.has('decoder.mid_block.resnets.0.conv1.weight'))
  );
}

/** Where a VAE's tensors lie; names in the file are `prefix` and then a key. */
export function vaeTensors(keys: ReadonlySet<string>, prefix: string): TensorMap {
  // Original up levels count from the finest, diffusers' up blocks from the coarsest.
  let levels = 0;
  for (const key of keys) {
    const level = /^decoder\.up\.(\d+)\./.exec(key);
    if (level) levels = Math.max(levels, Number(level[1]) + 1);
  }
  const tensors = new Map<string, StoredTensor>();
  for (const key of keys) {
    if (!/^(encoder|decoder|quant_conv|post_quant_conv)\./.test(key)) continue;
    const name = vaeName(key, levels);
    // Only the attention's layers are linear in diffusers and 1x1 convolutions in original files.
    const linear = /\.mid_block\.attentions\.0\..*weight$/.test(name);
    tensors.set(name, { name: prefix + key, ...(linear && { change: { kind: 'squeeze' } }) });
  }
  return tensors;
}

function vaeName(key: string, levels: number): string {
  return key
    .replace(/^(encoder|decoder)\.norm_out\./, '$1.conv_norm_out.')
    .replace(/^(encoder|decoder)\.mid\.block_(\d+)\./, (_, half: string, number: string) => {
      return `${half}.mid_block.resnets.${Number(number) - 1}.`;
    })
    .replace(/^(encoder|decoder)\.mid\.attn_1\.(\w+)\./, (_, half: string, part: string) => {
      return `${half}.mid_block.attentions.0.${ATTENTION_PARTS[part] ?? part}.`;
    })
    .replace(/^encoder\.down\.(\d+)\.block\./, 'encoder.down_blocks.$1.resnets.')
    .replace(/^encoder\.down\.(\d+)\.downsample\./, 'encoder.down_blocks.$1.downsamplers.0.')
    .replace(/^decoder\.up\.(\d+)\.(block|upsample)\./, (_, level: string, part: string) => {
      return `decoder.up_blocks.${levels - 1 - Number(level)}.${part === 'block' ? 'resnets.' : 'upsamplers.0.'}`;
    })
    .replace('.nin_shortcut.', '.conv_shortcut.');
}
