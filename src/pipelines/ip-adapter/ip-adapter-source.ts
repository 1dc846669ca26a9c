/** @file Which file of a folder is the IP-Adapter, and how a pickle becomes one that is read. */

import { OptionError } from '../../errors.ts';
import { joinPath, openRequired } from '../../loaders/model-source.ts';
import type { AddedFileKind } from '../load/added-file.ts';

/** The line that makes a safetensors file of a pickle, whose tensors lie in two dictionaries. */
function conversion(pickle: string): string {
  const name = pickle.split('/').at(-1) ?? pickle;
  const target = name.replace(/\.[^.]*$/, '.safetensors');
  return (
    'Pickles can run any code when they are opened, so calotype never opens them. Use the .safetensors file beside it, or ' +
    `convert it where you trust it: python -c "import torch; from safetensors.torch import save_file; ` +
    `d = torch.load('${name}', map_location='cpu', weights_only=True); ` +
    `save_file({f'{g}.{k}': v.contiguous() for g in ('image_proj', 'ip_adapter') for k, v in d[g].items()}, '${target}')"`
  );
}

/** IP-Adapters. */
export const IP_ADAPTER_FILE: AddedFileKind = {
  what: 'the IP-Adapter',
  conversion,
  async openFrom(folder, { weightName, subfolder = '', signal }) {
    if (weightName !== undefined) return openRequired(folder, joinPath(subfolder, weightName), signal);
    const files = (await folder.list(subfolder, signal)) ?? [];
    const found = files.filter((name) => name.endsWith('.safetensors'));
    throw new OptionError('a folder of IP-Adapters holds several, and none was named', {
      file: joinPath(folder.name, subfolder),
      field: 'weightName',
      remedy: found.length > 0 ? `Name one of ${found.join(', ')}` : 'Name its .safetensors file',
    });
  },
};
