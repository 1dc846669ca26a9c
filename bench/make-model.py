"""Writes a diffusers folder with random weights in float16 from a model's configs, to time whole pictures with.

    pip install torch diffusers==0.42.1 transformers safetensors
    python bench/make-model.py test/fixtures/configs/sd15 /tmp/sd15 --steps 20 --guidance 7.5
    npm run bench -- picture --model /tmp/sd15

The pictures are noise. The tokenizer is that of the starter model; a folder without `vae` gets that of SD 1.5.
"""

import argparse
import json
import os
import shutil

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, EulerDiscreteScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

parser = argparse.ArgumentParser()
parser.add_argument("configs")
parser.add_argument("output")
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--guidance", type=float, default=7.5)
parser.add_argument("--size", type=int, help="pixels along each side; default that of the UNet's config")
arguments = parser.parse_args()

HERE = os.path.dirname(os.path.abspath(__file__))
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def config_of(component):
    path = f"{arguments.configs}/{component}/config.json"
    if not os.path.exists(path) and component == "vae":
        path = f"{HERE}/../test/fixtures/configs/sd15/vae/config.json"
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return json.load(file)


def write(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        json.dump(value, file, indent=2)


def save(component, kind, config, file):
    with torch.device(DEVICE):
        network = kind._from_config(config) if kind.__module__.startswith("transformers") else kind.from_config(config)
    tensors = {name: tensor.half().contiguous().cpu() for name, tensor in network.state_dict().items()}
    # Old checkpoints have positions among their tensors; they are no weights.
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("position_ids")}
    write(f"{arguments.output}/{component}/config.json", config_of(component))
    save_file(tensors, f"{arguments.output}/{component}/{file}", metadata={"format": "pt"})


torch.manual_seed(0)
unet, vae = config_of("unet"), config_of("vae")
is_xl = config_of("text_encoder_2") is not None
index = {
    "_class_name": "StableDiffusionXLPipeline" if is_xl else "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", vae["_class_name"]],
}
if is_xl:
    index |= {"feature_extractor": [None, None], "image_encoder": [None, None], "force_zeros_for_empty_prompt": True}
else:
    index |= {"feature_extractor": [None, None], "safety_checker": [None, None], "requires_safety_checker": False}
save("unet", UNet2DConditionModel, unet, "diffusion_pytorch_model.safetensors")
kind = AutoencoderTiny if vae["_class_name"] == "AutoencoderTiny" else AutoencoderKL
save("vae", kind, vae, "diffusion_pytorch_model.safetensors")
for suffix in ["", "_2"]:
    config = config_of(f"text_encoder{suffix}")
    if config is None:
        continue
    kind = CLIPTextModelWithProjection if suffix == "_2" else CLIPTextModel
    save(f"text_encoder{suffix}", kind, CLIPTextConfig(**config), "model.safetensors")
    shutil.copytree(f"{HERE}/../models/emoji-starter/tokenizer", f"{arguments.output}/tokenizer{suffix}", dirs_exist_ok=True)
    index |= {f"tokenizer{suffix}": ["transformers", "CLIPTokenizer"], f"text_encoder{suffix}": ["transformers", kind.__name__]}
scheduler = EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
scheduler.save_pretrained(f"{arguments.output}/scheduler")
write(f"{arguments.output}/model_index.json", index)
size = arguments.size or unet["sample_size"] * 8
recommended = {
    "numInferenceSteps": arguments.steps,
    "guidanceScale": arguments.guidance,
    "guidanceRescale": 0,
    "height": size,
    "width": size,
}
write(f"{arguments.output}/calotype.json", recommended)
