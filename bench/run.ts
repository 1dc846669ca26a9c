/**
 * @file `npm run bench -- PRESET`: runs calotype and, where they can be had, its peers in the same session.
 *
 *   unet [--model sd15|sd21|sdxl|pixart|starter]   a denoising step with random weights, on WebGPU in three settings (see
 *                                           src/platform/dawn-settings.ts), beside torch and ONNX Runtime
 *   vae [--model ...]                       decoding a picture, likewise
 *   ladder [--model ...]                    what each optimisation gains, by `calotype bench ladder`
 *   picture [--model FOLDER]                whole pictures on a GPU beside diffusers; bench/make-model.py makes folders
 *   cpu                                     the README's first command without a GPU
 *   serve [--clients 1,4,16]                requests a second and latencies of `calotype serve`; see bench/serve.ts
 *   stable-fast, diffusion-fast             the CUDA backend beside what these two published (bench/published.ts)
 *
 * Of unet and vae: --backend cuda; --batch 1,4,16 for several pictures at once; --setting page,flags,native; --peers
 * eager,graph or none; --compile for torch.compile, which takes minutes; --json FILE; --svg FILE for a picture of where
 * the time goes. Other options go to `calotype bench`.
 *
 * torch is that of $PYTHON or python3, else of bench/.venv, which is made with pip when it is missing. ONNX Runtime's
 * WebGPU provider is compared on what bench/export-onnx.py wrote.
 */
import { benchCpu } from './cpu.ts';
import { benchLadder, benchNetwork } from './network.ts';
import { benchPictures } from './picture.ts';
import { benchDiffusionFast, benchStableFast } from './published.ts';
import { benchServe } from './serve.ts';

const [preset, ...args] = process.argv.slice(2);
try {
  if (preset === 'unet' || preset === 'vae') benchNetwork(preset, args);
  else if (preset === 'ladder') benchLadder(args);
  else if (preset === 'picture') benchPictures(args);
  else if (preset === 'cpu') benchCpu();
  else if (preset === 'serve') await benchServe(args);
  else if (preset === 'stable-fast') benchStableFast();
  else if (preset === 'diffusion-fast') benchDiffusionFast();
  else {
    const presets = 'unet, vae, ladder, picture, cpu, serve, stable-fast and diffusion-fast';
    throw new Error(`the presets are ${presets}`);
  }
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
