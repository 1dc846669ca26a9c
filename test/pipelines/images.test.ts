/** @file Image-to-image and inpainting against diffusers: same image, same seed, same latents, on every backend. */
import { presentBackends } from '../support/backends.ts';
import { imageCases } from '../support/drawn/images.ts';
import { testModels } from '../support/drawn/test-drawn.ts';

/** All cases run on the CPU; on the slow backends what the graphs or the tables differ in, and not the starter. */
function isRunOn(backend: string, model: string, name: string): boolean {
  if (backend === 'cpu') return true;
  if (model === 'starter') return false;
  return /^(picture|batch|inpaint|inpaint-(padded|sizes)|image-heun)$/.test(name);
}

testModels(await presentBackends(), imageCases, isRunOn);
