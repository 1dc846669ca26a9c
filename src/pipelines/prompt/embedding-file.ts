/** @file Which file of a folder is the textual inversion, and how a pickle becomes one that is read. */

import { NotFoundError } from '../../errors.ts';
import { joinPath } from '../../loaders/model-source.ts';
import { type AddedFileKind, pickleError } from '../load/added-file.ts';

/** The names that diffusers gives them. */
const USUAL_NAME = 'learned_embeds.safetensors';
const PICKLE_NAME = 'learned_embeds.bin';

/** The line that makes a safetensors file of a pickle, diffusers' (`.bin`) or sd-webui's (`.pt`). */
function conversion(pickle: string): string {
  const name = pickle.split('/').at(-1) ?? pickle;
  const target = name.replace(/\.[^.]*$/, '.safetensors');
  return (
    'Pickles can run any code when they are opened, so calotype never opens them. Convert it where you trust it: ' +
    `python -c "import torch; from safetensors.torch import save_file; d = torch.load('${name}', map_location='cpu', ` +
    "weights_only=True); save_file({'emb_params': d['string_to_param']['*'].data} if 'string_to_param' in d else " +
    `{k: v.contiguous() for k, v in d.items()}, '${target}')"`
  );
}

/** Textual inversions. */
export const EMBEDDING_FILE: AddedFileKind = {
  what: 'the embedding',
  conversion,
  async openFrom(folder, { weightName, subfolder = '', signal }) {
    const path = joinPath(subfolder, weightName ?? USUAL_NAME);
    const file = await folder.open(path, signal);
    if (file) return file;
    const pickle = joinPath(subfolder, PICKLE_NAME);
    if (weightName === undefined && (await folder.exists(pickle, signal)))
      throw pickleError(EMBEDDING_FILE, joinPath(folder.name, pickle));
    throw new NotFoundError('there is no such file', {
      file: joinPath(folder.name, path),
      remedy: 'Name the file with weightName, or give its own path',
    });
  },
};
