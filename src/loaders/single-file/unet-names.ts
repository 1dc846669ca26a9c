/**
 * @file A UNet in the original (ldm, sgm) layout: its modules are numbered in the order they run, and diffusers'
 * names follow from what each module is.
 */

/** A kind of module, and the tensor by which it is known. */
const MODULES = {
  resnet: 'in_layers.0.weight',
  attention: 'proj_in.weight',
  downsample: 'op.weight',
  upsample: 'conv.weight',
} as const;
type ModuleKind = keyof typeof MODULES;

/** Parts of a resnet: original name, diffusers' name. */
export const RESNET_PARTS: ReadonlyMap<string, string> = new Map([
  ['in_layers.0', 'norm1'],
  ['in_layers.2', 'conv1'],
  ['emb_layers.1', 'time_emb_proj'],
  ['out_layers.0', 'norm2'],
  ['out_layers.3', 'conv2'],
  ['skip_connection', 'conv_shortcut'],
]);

/** Layers outside of the blocks. */
export const ENDS: ReadonlyMap<string, string> = new Map([
  ['time_embed.0', 'time_embedding.linear_1'],
  ['time_embed.2', 'time_embedding.linear_2'],
  ['time_embed.cond_proj', 'time_embedding.cond_proj'],
  ['label_emb.0.0', 'add_embedding.linear_1'],
  ['label_emb.0.2', 'add_embedding.linear_2'],
  ['input_blocks.0.0', 'conv_in'],
  ['out.0', 'conv_norm_out'],
  ['out.2', 'conv_out'],
]);

/** A resnet and the attention after it, under their diffusers paths. */
export interface UNetLayer {
  readonly resnet: string;
  readonly attention: string | undefined;
}

/** What a UNet is made of, and the diffusers name of each of its tensors. */
export interface UNetLayout {
  /** Original name by diffusers' name. */
  readonly names: ReadonlyMap<string, string>;
  /** Layers of each level, finest first. */
  readonly down: readonly (readonly UNetLayer[])[];
  /** Resnets and attentions of the middle; empty where there is no middle block. */
  readonly middle: { readonly resnets: readonly string[]; readonly attentions: readonly string[] };
  /** Layers of each up block in the order they run, coarsest first. */
  readonly up: readonly (readonly UNetLayer[])[];
}

/** Reads the layout off a UNet's tensor names (without `model.diffusion_model.`). */
export function unetLayout(keys: Iterable<string>): UNetLayout {
  const names = new Map<string, string>();
  const modules = new Map<string, Set<string>>();
  for (const key of keys) {
    const layer = /^(.+)\.(weight|bias)$/.exec(key);
    const end = layer ? ENDS.get(layer[1]) : undefined;
    if (layer && end !== undefined) names.set(`${end}.${layer[2]}`, key);
    const module = /^((?:input|output)_blocks\.\d+\.\d+|middle_block\.\d+)\.(.+)$/.exec(key);
    if (module === null) continue;
    const tensors = modules.get(module[1]);
    if (tensors) tensors.add(module[2]);
    else modules.set(module[1], new Set([module[2]]));
  }

  const kindOf = (module: string): ModuleKind | undefined => {
    const tensors = modules.get(module);
    if (tensors === undefined) return undefined;
    const kinds: readonly ModuleKind[] = ['resnet', 'attention', 'downsample', 'upsample'];
    return kinds.find((kind) => tensors.has(MODULES[kind]));
  };
  /** Gives all tensors of a module their names under a diffusers path. */
  const place = (module: string, path: string): string => {
    for (const tensor of modules.get(module) ?? [])
      names.set(`${path}.${renamed(tensor, kindOf(module))}`, `${module}.${tensor}`);
    return path;
  };
  /** The modules of one numbered block: `input_blocks.4.0`, `input_blocks.4.1`, ... */
  const members = (block: string): string[] =>
    [0, 1, 2].map((i) => `${block}.${i}`).filter((module) => kindOf(module) !== undefined);

  /** Walks numbered blocks, which come level by level; `resample` ends a level. */
  const walk = (side: 'input' | 'output', path: 'down' | 'up'): UNetLayer[][] => {
    const levels: UNetLayer[][] = [[]];
    for (let i = side === 'input' ? 1 : 0; members(`${side}_blocks.${i}`).length > 0; i++) {
      const block = members(`${side}_blocks.${i}`);
      const level = levels.length - 1;
      const layers = levels[level];
      const find = (kind: ModuleKind): string | undefined => block.find((module) => kindOf(module) === kind);
      const resnet = find('resnet');
      const attention = find('attention');
      const resample = find(path === 'down' ? 'downsample' : 'upsample');
      const parent = `${path}_blocks.${level}`;
      if (resnet !== undefined)
        layers.push({
          resnet: place(resnet, `${parent}.resnets.${layers.length}`),
          attention:
            attention === undefined ? undefined : place(attention, `${parent}.attentions.${layers.length}`),
        });
      if (resample === undefined) continue;
      place(resample, `${parent}.${path}samplers.0`);
      levels.push([]);
    }
    return levels;
  };

  const middle = { resnets: new Array<string>(), attentions: new Array<string>() };
  for (let i = 0; kindOf(`middle_block.${i}`) !== undefined; i++) {
    const list = kindOf(`middle_block.${i}`) === 'attention' ? 'attentions' : 'resnets';
    middle[list].push(place(`middle_block.${i}`, `mid_block.${list}.${middle[list].length}`));
  }
  return { names, down: walk('input', 'down'), middle, up: walk('output', 'up') };
}

/** A tensor's name inside its module, as diffusers has it. */
function renamed(tensor: string, kind: ModuleKind | undefined): string {
  if (kind === 'downsample') return tensor.replace(/^op\./, 'conv.');
  if (kind !== 'resnet') return tensor;
  const part = /^(.+)\.(weight|bias)$/.exec(tensor);
  return part ? `${RESNET_PARTS.get(part[1]) ?? part[1]}.${part[2]}` : tensor;
}
