"""Makes models with random weights and runs a denoising step of each with diffusers: what `npm run bench -- agreement` compares with.

    pip install torch diffusers==0.42.1 transformers safetensors
    python bench/torch-agreement.py '[{"name": "sd15", "folder": "test/fixtures/configs/sd15", "output": "/tmp/sd15"}]'

An entry may also name `base`, the configs of what its folder lacks; `controlnet`, true for one of the UNet's kind beside it; `size`,
pixels along each side; `decodes`, whether the picture is decoded too.

Writes for each the folder `model` (and `controlnet`), and in `tensors` the inputs, what the step gives in float32 from the same
float16 weights (`step`: both rows of guidance combined), and the decoded picture. The folder's scheduler makes the first of one
step give just that. Prints one JSON line for each: how far torch's own float16 is off, and the most of the card's memory that
was in use in float16, by the driver. Convolutions and products in float32 are float32 all through, not tf32.
"""

import gc
import json
import os
import subprocess
import sys
import time
import traceback

import torch
from diffusers import DDIMScheduler
from random_model import DEVICE, RandomModel

GUIDANCE = 2
TIMESTEP = 999
TOKENS = {"text": 77, "t5": 120}

torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_tf32 = False


def used_bytes():
    """Of the card's memory, by the driver."""
    if DEVICE == "cpu":
        return None
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.check_output(query, text=True).split()[0]) * 2**20


def nmse(value, truth):
    value, truth = value.double().cpu(), truth.double().cpu()
    return float(((value - truth) ** 2).sum() / (truth**2).sum())


class Agreement:
    """One model: its inputs and what diffusers makes of them."""

    def __init__(self, entry, index):
        self.entry = entry
        torch.manual_seed(index)
        self.generator = torch.Generator().manual_seed(index)
        self.model = RandomModel(entry["folder"], f"{entry['output']}/model", entry.get("base"), text_layers=2)
        self.size = entry.get("size") or 8 * self.model.unet["sample_size"]
        self.tensors = {}
        # Refiners take over from latents that are their image.
        self.start = "image" if self.model.is_refiner else "latents"

    def random(self, name, *shape, uniform=False):
        """Numbers that float16 has, too."""
        draw = torch.rand if uniform else torch.randn
        self.tensors[name] = draw(*shape, generator=self.generator).half().float()
        return self.tensors[name]

    def draw_inputs(self):
        unet, side = self.model.unet, self.size // 8
        is_pixart = self.model.is_pixart
        tokens = TOKENS["t5" if is_pixart else "text"]
        channels = unet["caption_channels"] if is_pixart else unet["cross_attention_dim"]
        self.random(self.start, 1, unet["in_channels"], side, side)
        for name in ["promptEmbeds", "negativePromptEmbeds"]:
            self.random(name, 1, tokens, channels)
        if self.model.is_xl:
            pooled = self.model.config("text_encoder_2")["projection_dim"]
            for name in ["pooledPromptEmbeds", "negativePooledPromptEmbeds"]:
                self.random(name, 1, pooled)
        if is_pixart:
            for name, seen in [("promptAttentionMask", 37), ("negativePromptAttentionMask", 5)]:
                self.tensors[name] = (torch.arange(tokens) < seen).float()[None]
        if self.entry.get("controlnet"):
            self.random("controlImage", 1, self.size, self.size, 3, uniform=True)

    def rows(self, positive, negative):
        return torch.cat([self.tensors[negative], self.tensors[positive]]).to(DEVICE)

    def step(self, unet, controlnet, dtype):
        """What both rows of guidance are combined to."""
        sample = torch.cat([self.tensors[self.start]] * 2).to(DEVICE, dtype)
        text = self.rows("promptEmbeds", "negativePromptEmbeds").to(dtype)
        timestep = torch.tensor([TIMESTEP] * 2, device=DEVICE)
        more = {}
        if self.model.is_pixart:
            size = torch.tensor([[self.size, self.size]] * 2, device=DEVICE, dtype=dtype)
            sizes = {"resolution": size, "aspect_ratio": torch.ones(2, 1, device=DEVICE, dtype=dtype)}
            more["added_cond_kwargs"] = sizes if unet.use_additional_conditions else dict.fromkeys(sizes)
            more["encoder_attention_mask"] = self.rows("promptAttentionMask", "negativePromptAttentionMask").to(dtype)
        if self.model.is_xl:
            sizes = [self.size, self.size, 0, 0]
            ends = [[2.5], [6]] if self.model.is_refiner else [[self.size] * 2] * 2
            ids = torch.tensor([sizes + end for end in ends], device=DEVICE, dtype=dtype)
            pooled = self.rows("pooledPromptEmbeds", "negativePooledPromptEmbeds").to(dtype)
            more["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": ids}
        if controlnet:
            image = torch.cat([self.tensors["controlImage"].permute(0, 3, 1, 2)] * 2).to(DEVICE, dtype)
            down, mid = controlnet(sample, timestep, text, image, return_dict=False, **more)
            more |= {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        out = unet(sample, timestep=timestep, encoder_hidden_states=text, return_dict=False, **more)[0]
        # PixArt's transformer gives variances, too.
        negative, positive = out.float()[:, : sample.shape[1]].chunk(2)
        return negative + GUIDANCE * (positive - negative)

    def decode(self, vae, latents, dtype):
        decoded = vae.decode(latents.to(DEVICE, dtype) / vae.config.scaling_factor, return_dict=False)[0]
        return (decoded.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)

    def run(self, used_before):
        model = self.model
        begin = time.time()
        model.text_encoders()
        vae = model.autoencoder().cpu()
        unet = model.denoiser()
        controlnet = model.controlnet(unet) if self.entry.get("controlnet") else None
        scheduler = {"prediction_type": "sample", "timestep_spacing": "trailing", "clip_sample": False}
        model.finish(DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **scheduler))
        self.draw_inputs()
        made = time.time() - begin
        free()
        half = self.step(unet, controlnet, torch.float16)
        result = {"name": self.entry["name"], "made_s": round(made, 1)}
        result["step_bytes"] = used_bytes() and used_bytes() - used_before
        # As SDXL's pipeline does; this VAE's own type stays for others.
        is_upcast = model.is_xl and vae.config.get("force_upcast", True)
        dtype = torch.float32 if is_upcast else torch.float16
        if self.entry.get("decodes"):
            half_picture = self.decode(vae.to(DEVICE, dtype), half, dtype)
            result["picture_bytes"] = used_bytes() and used_bytes() - used_before
        truth = self.tensors["step"] = self.step(unet.float(), controlnet and controlnet.float(), torch.float32).cpu()
        result["step_nmse"] = nmse(half, truth)
        result["step_deviation"] = float(truth.std())
        if self.entry.get("decodes"):
            picture = self.tensors["picture"] = self.decode(vae.to(DEVICE).float(), truth, torch.float32).cpu()
            result["picture_nmse"] = nmse(half_picture, picture)
            result["picture_deviation"] = float(picture.std())
        return result

    def write(self):
        folder = f"{self.entry['output']}/tensors"
        os.makedirs(folder, exist_ok=True)
        for name, tensor in self.tensors.items():
            tensor.contiguous().numpy().astype("<f4").tofile(f"{folder}/{name}.f32")
        with open(f"{folder}/shapes.json", "w") as file:
            json.dump({name: list(tensor.shape) for name, tensor in self.tensors.items()}, file)


def free():
    gc.collect()
    if DEVICE == "cuda":
        torch.cuda.empty_cache()


used_before = used_bytes()
for index, entry in enumerate(json.loads(sys.argv[1])):
    free()
    try:
        with torch.no_grad():
            agreement = Agreement(entry, index)
            result = agreement.run(used_before)
            agreement.write()
    except Exception as error:
        traceback.print_exc()
        result = {"name": entry["name"], "error": str(error)[:500]}
    agreement = None
    print(json.dumps(result), flush=True)
