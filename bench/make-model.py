"""Writes a diffusers folder with random weights in float16 from a model's configs, to time whole pictures with.

    pip install torch diffusers==0.42.1 transformers safetensors
    python bench/make-model.py test/fixtures/configs/sd15 /tmp/sd15 --steps 20 --guidance 7.5
    npm run bench -- picture --model /tmp/sd15

The pictures are noise. A folder without `vae` gets that of SD 1.5; `--base` names other configs for what a folder lacks.
"""

import argparse
import os

import torch
from diffusers import EulerDiscreteScheduler
from random_model import ROOT, RandomModel, write_json

parser = argparse.ArgumentParser()
parser.add_argument("configs")
parser.add_argument("output")
parser.add_argument("--base", default=f"{ROOT}/test/fixtures/configs/sd15")
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--guidance", type=float, default=7.5)
parser.add_argument("--size", type=int, help="pixels along each side; default that of the UNet's config")
parser.add_argument("--text-layers", type=int, help="layers of text encoders at most, for smaller folders")
arguments = parser.parse_args()

torch.manual_seed(0)
model = RandomModel(os.path.abspath(arguments.configs), arguments.output, arguments.base, arguments.text_layers)
model.denoiser()
model.autoencoder()
model.text_encoders()
model.finish(EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1))
size = arguments.size or model.unet["sample_size"] * 8
recommended = {
    "numInferenceSteps": arguments.steps,
    "guidanceScale": arguments.guidance,
    "guidanceRescale": 0,
    "height": size,
    "width": size,
}
write_json(f"{arguments.output}/calotype.json", recommended)
