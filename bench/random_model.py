"""Diffusers folders with random weights in float16, from models' configs; see make-model.py and torch-agreement.py.

The weights are what diffusers initialises networks with, but for the layers that it sets to zero (ControlNets' last ones),
which would hide all others: these get what layers of their shape get elsewhere. Components whose configs a folder lacks are those of a base
model. Tokenizers are that of the starter model, and for T5 that of the tests.
"""

import json
import os
import shutil

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    PixArtTransformer2DModel,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WEIGHTS = "diffusion_pytorch_model.safetensors"
CLIP_TOKENIZER = f"{ROOT}/models/emoji-starter/tokenizer"
T5_TOKENIZER = f"{ROOT}/test/fixtures/pipelines/tiny-pixart/tokenizer"


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        json.dump(value, file, indent=2)


def initialise(kind, config):
    """A network with random weights, in float16."""
    with torch.device(DEVICE):
        is_transformers = kind.__module__.startswith("transformers")
        network = kind._from_config(config) if is_transformers else kind.from_config(config)
    for weight in network.parameters():
        if weight.ndim > 1 and not weight.any():
            torch.nn.init.kaiming_uniform_(weight, a=5**0.5)
    return network.half().eval().requires_grad_(False)


def save(network, folder, config, file=WEIGHTS):
    tensors = {}
    for name, tensor in network.state_dict().items():
        # Old checkpoints have positions among their tensors, which are no weights; T5 has its table under two names.
        if not name.endswith(("position_ids", "encoder.embed_tokens.weight")):
            tensors[name] = tensor.contiguous().cpu()
    write_json(f"{folder}/config.json", config)
    save_file(tensors, f"{folder}/{file}", metadata={"format": "pt"})


class RandomModel:
    """A model's configs, and the folder that is made of them."""

    def __init__(self, configs, output, base=None, text_layers=None):
        self.folders = [folder for folder in [configs, base] if folder]
        self.output = output
        self.text_layers = text_layers
        self.is_pixart = self.config("transformer") is not None
        self.unet = self.config("transformer" if self.is_pixart else "unet")
        self.is_xl = self.unet.get("addition_embed_type") == "text_time"
        if self.is_xl:
            # Refiners take five numbers beside the text, and read one text encoder.
            pooled = self.config("text_encoder_2")["projection_dim"]
            numbers = (self.unet["projection_class_embeddings_input_dim"] - pooled) // self.unet["addition_time_embed_dim"]
        self.is_refiner = self.is_xl and numbers == 5
        self.vae = self.config("vae")
        self.index = {"_diffusers_version": "0.42.1"}

    def config(self, component):
        for folder in self.folders:
            path = f"{folder}/{component}/config.json"
            if os.path.exists(path):
                with open(path) as file:
                    return json.load(file)
        return None

    def denoiser(self):
        """The UNet or transformer, saved."""
        kind = PixArtTransformer2DModel if self.is_pixart else UNet2DConditionModel
        component = "transformer" if self.is_pixart else "unet"
        network = initialise(kind, self.unet)
        save(network, f"{self.output}/{component}", self.unet)
        self.index[component] = ["diffusers", kind.__name__]
        return network

    def autoencoder(self):
        kind = AutoencoderTiny if self.vae["_class_name"] == "AutoencoderTiny" else AutoencoderKL
        network = initialise(kind, self.vae)
        save(network, f"{self.output}/vae", self.vae)
        self.index["vae"] = ["diffusers", kind.__name__]
        return network

    def controlnet(self, unet):
        """The ControlNet that belongs to a UNet, in a folder of its own."""
        config = dict(ControlNetModel.from_unet(unet, load_weights_from_unet=False).config)
        config = {name: value for name, value in config.items() if not name.startswith("_")}
        network = initialise(ControlNetModel, config)
        save(network, f"{self.output}/../controlnet", {"_class_name": "ControlNetModel", **config})
        return network

    def text_encoders(self):
        if self.is_pixart:
            self._text_encoder("", T5EncoderModel, T5Config, "num_layers", "T5Tokenizer", T5_TOKENIZER)
            return
        for suffix in ["_2"] if self.is_refiner else ["", "_2"] if self.is_xl else [""]:
            kind = CLIPTextModelWithProjection if suffix else CLIPTextModel
            self._text_encoder(suffix, kind, CLIPTextConfig, "num_hidden_layers", "CLIPTokenizer", CLIP_TOKENIZER)

    def _text_encoder(self, suffix, kind, config_kind, layers, tokenizer_kind, tokenizer):
        config = self.config(f"text_encoder{suffix}")
        if self.text_layers:
            config[layers] = min(self.text_layers, config[layers])
        network = initialise(kind, config_kind(**config))
        save(network, f"{self.output}/text_encoder{suffix}", config, "model.safetensors")
        shutil.copytree(tokenizer, f"{self.output}/tokenizer{suffix}", dirs_exist_ok=True)
        self.index[f"text_encoder{suffix}"] = ["transformers", kind.__name__]
        self.index[f"tokenizer{suffix}"] = ["transformers", tokenizer_kind]

    def finish(self, scheduler):
        """Writes what a folder has besides networks."""
        scheduler.save_pretrained(f"{self.output}/scheduler")
        kind = "PixArtAlpha" if self.is_pixart else "StableDiffusionXL" if self.is_xl else "StableDiffusion"
        index = {"_class_name": f"{kind}Pipeline", **self.index}
        index["scheduler"] = ["diffusers", scheduler.__class__.__name__]
        if self.is_xl:
            none = ["feature_extractor", "image_encoder", *(["text_encoder", "tokenizer"] if self.is_refiner else [])]
            index |= {"force_zeros_for_empty_prompt": True, "requires_aesthetics_score": self.is_refiner}
        else:
            none = [] if self.is_pixart else ["feature_extractor", "safety_checker"]
            index |= {} if self.is_pixart else {"requires_safety_checker": False}
        write_json(f"{self.output}/model_index.json", index | {name: [None, None] for name in none})
