/** @file What the worker does without a model: picture files and the model cache. */
import type { CalotypeImage } from '../image/image.ts';
import { decodePng, encodePng } from '../image/png.ts';
import { readRecipe, type Recipe, recipeTexts } from '../image/recipe.ts';
import { openModelCache } from '../platform/opfs-store.ts';
import type { CacheState } from './protocol.ts';

export async function encode(image: CalotypeImage, recipe: Recipe): Promise<Blob> {
  return new Blob([await encodePng(image, { text: recipeTexts(recipe) })], { type: 'image/png' });
}

export async function decode(
  png: Blob,
  name: string,
): Promise<{ image: CalotypeImage; recipe: Recipe | undefined }> {
  const { image, text } = decodePng(new Uint8Array(await png.arrayBuffer()), name);
  return { image, recipe: readRecipe(text, name) };
}

export async function cacheState(): Promise<CacheState | undefined> {
  const cache = await openModelCache();
  return (
    cache && {
      models: await cache.models(),
      room: await cache.estimate(),
      persisted: await cache.persist(),
    }
  );
}

export async function uncache(name: string): Promise<undefined> {
  await (await openModelCache())?.remove(name);
}
