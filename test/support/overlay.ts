/** @file Fixture models that are kept as what differs from another one's folder. */
import type { ModelSource } from '../../src/index.ts';
import { nodeFolderSource } from '../../src/platform/node-file-source.ts';
import { fixturePath } from './fixtures.ts';

/** The model of a folder under test/fixtures/pipelines; what is not in it comes from the folder of `base`. */
export async function overlaidModel(model: string, base: string): Promise<ModelSource> {
  const under = await nodeFolderSource(fixturePath(`pipelines/${base}`));
  if (model === base) return under;
  const over = await nodeFolderSource(fixturePath(`pipelines/${model}`));
  return {
    name: model,
    open: async (path, signal) => (await over.open(path, signal)) ?? under.open(path, signal),
    exists: async (path, signal) => (await over.exists(path, signal)) || under.exists(path, signal),
    list: async () => Promise.resolve(undefined),
  };
}
