/**
 * @file `npm run bench -- PRESET`: runs calotype and, where they can be had, its peers in the same session.
 *
 *   unet [--model sd15|sdxl|...]            a denoising step with random weights, on WebGPU in three settings (see
 *                                           src/platform/dawn-settings.ts), beside torch and ONNX Runtime
 *   vae [--model ...]                       decoding a picture, likewise
 *   ladder [--model ...]                    what each optimisation gains, by `calotype bench ladder`
 *   picture [--model sd15|sd21|sdxl|FOLDER] whole pictures on a GPU beside diffusers, with random weights that are saved in
 *                                           bench/.models, or with those of a folder
 *   cpu                                     the README's first command without a GPU
 *   serve [--clients 1,4,16]                requests a second and latencies of `calotype serve`; see bench/serve.ts
 *   stable-fast, diffusion-fast             calotype beside what these two published (bench/published.ts)
 *     [--backend cuda,webgpu] [--model ...]
 *   agreement [--model ...]                 a step of whole models with random weights, compared with diffusers' in float32
 *     [--backend webgpu,cuda]               (bench/agreement.ts); also NAME+controlnet, and folders of configurations
 *   budgets --model FOLDER                  whole pictures within budgets of memory: time, and memory by the driver
 *   lora --model FOLDER,FOLDER              switching LoRA adapters: time, and what was recorded or compiled meanwhile
 *
 * Of unet, vae and picture: --backend webgpu,cuda for both beside the same peers; --json FILE. Of unet and vae: --batch 1,4,16
 * for several pictures at once; --controlnet FOLDER; --setting page,flags,native; --peers eager,graph or none; --compile for
 * torch.compile, which takes minutes; --svg FILE for a picture of where the time goes. Other options go to `calotype bench`.
 *
 * torch is that of $PYTHON or python3, else of bench/.venv, which is made with pip when it is missing. ONNX Runtime's
 * WebGPU provider is compared on what bench/export-onnx.py wrote.
 */
import { benchAgreement } from './agreement.ts';
import { benchAgreementStep } from './agreement-step.ts';
import { benchBudgets, benchOpenDevice } from './budgets.ts';
import { benchCpu } from './cpu.ts';
import { benchLora } from './lora.ts';
import { benchLadder, benchNetwork } from './network.ts';
import { benchPictures } from './picture.ts';
import { benchDiffusionFast, benchStableFast } from './published.ts';
import { benchServe } from './serve.ts';

/** Presets by name; two of them are what others run in processes of their own. */
const PRESETS: Readonly<Record<string, (args: readonly string[]) => void | Promise<void>>> = {
  unet: (args) => benchNetwork('unet', args),
  vae: (args) => benchNetwork('vae', args),
  ladder: benchLadder,
  picture: benchPictures,
  cpu: benchCpu,
  serve: benchServe,
  'stable-fast': benchStableFast,
  'diffusion-fast': benchDiffusionFast,
  agreement: benchAgreement,
  'agreement-step': benchAgreementStep,
  budgets: benchBudgets,
  'open-device': benchOpenDevice,
  lora: benchLora,
};

const [preset = '', ...args] = process.argv.slice(2);
try {
  const run = Object.entries(PRESETS).find(([name]) => name === preset)?.[1];
  if (run === undefined) throw new Error(`the presets are ${Object.keys(PRESETS).join(', ')}`);
  await run(args);
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
