"""Exports a UNet with random weights as float16 ONNX, for bench/ort-webgpu.py. Needs a CUDA card and about 8 GB of it.

    pip install torch diffusers==0.42.1 onnx onnxscript
    python bench/export-onnx.py test/fixtures/configs/sd15 bench/.onnx/sd15

The graph is as torch.onnx exports it, with attention written out as matrix products and a softmax.
"""

import json
import os
import sys

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

folder, output = sys.argv[1:]
with open(f"{folder}/unet/config.json") as file:
    config = json.load(file)
torch.manual_seed(0)
with torch.device("cuda"):
    unet = UNet2DConditionModel.from_config(config).half().eval().requires_grad_(False)
unet.set_attn_processor(AttnProcessor())


class Step(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]


half = {"device": "cuda", "dtype": torch.float16}
size = config["sample_size"]
inputs = (
    torch.randn(2, config["in_channels"], size, size, **half),
    torch.tensor([500], device="cuda"),
    torch.randn(2, 77, config["cross_attention_dim"], **half),
)
os.makedirs(output, exist_ok=True)
with torch.no_grad():
    torch.onnx.export(
        Step(),
        inputs,
        f"{output}/unet.onnx",
        input_names=["sample", "timestep", "encoder_hidden_states"],
        output_names=["output"],
        opset_version=17,
        dynamo=False,
    )
