/** @file A model on disk with ControlNets and an IP-Adapter that fit it, as servers and pipelines open them. */
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adapterFile, network } from '../support/drawn/guidance.ts';
import { fixturePath } from '../support/fixtures.ts';
import { networkFiles } from '../support/named-networks.ts';

/** What is offered with the model. */
export interface Controlled {
  readonly models: readonly { readonly name: string; readonly source: string }[];
  readonly controlnets: readonly { readonly name: string; readonly source: string }[];
  readonly ipAdapters: readonly {
    readonly name: string;
    readonly source: string;
    readonly subfolder: string;
    readonly weightName: string;
  }[];
  /** Removes all. */
  remove(): Promise<void>;
}

/** Writes the model `tiny` with the nets `canny` and `shuffle` and the adapters `face` and `plus`. */
export async function writeControlled(): Promise<Controlled> {
  const folder = await mkdtemp(join(tmpdir(), 'calotype-controlled-'));
  const write = async (name: string, files: Readonly<Record<string, Uint8Array>>): Promise<void> => {
    await mkdir(join(folder, name), { recursive: true });
    for (const [path, file] of Object.entries(files)) await writeFile(join(folder, name, path), file);
  };
  await cp(fixturePath('pipelines/tiny-sd'), join(folder, 'tiny'), { recursive: true });
  await write('tiny/unet', await networkFiles(network('sd')));
  for (const net of ['canny', 'shuffle']) await write(net, await networkFiles(network(net)));
  await write('adapters/image_encoder', await networkFiles(network('vision'), 'model.safetensors'));
  await write('adapters', {
    'face.safetensors': await adapterFile('ip-image'),
    'plus.safetensors': await adapterFile('ip-plus'),
  });
  const at = (name: string) => ({ name, source: join(folder, name) });
  return {
    models: [at('tiny')],
    controlnets: ['canny', 'shuffle'].map(at),
    ipAdapters: ['face', 'plus'].map((name) => ({
      name,
      source: join(folder, 'adapters'),
      subfolder: '',
      weightName: `${name}.safetensors`,
    })),
    remove: async () => rm(folder, { recursive: true }),
  };
}
