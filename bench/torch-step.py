"""Times torch on a UNet's (or PixArt's transformer's) step or a VAE's decoding with random weights: the peer of `calotype bench unet` and `vae`.

    pip install torch diffusers==0.42.1
    python bench/torch-step.py unet test/fixtures/configs/sd15 eager graph compile
    python bench/torch-step.py vae test/fixtures/configs/sd15 --size 512x512 eager graph

On the first CUDA card, in float16 and channels_last. A step is one picture under guidance (batch 2), a decoding one
picture; the size is by default the one that the UNet's config names. `graph` replays a CUDA graph of the eager run;
`compile` (torch.compile with mode="reduce-overhead") takes minutes. Prints one JSON line for each mode: `ms` is the
median of the runs by CUDA events, `first_s` the time to the first, `peak_bytes` the most memory that torch allocated.
"""

import argparse
import json
import os
import time

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, PixArtTransformer2DModel, UNet2DConditionModel

parser = argparse.ArgumentParser()
parser.add_argument("network", choices=["unet", "vae"])
parser.add_argument("folder")
parser.add_argument("modes", nargs="+", choices=["eager", "graph", "compile"])
parser.add_argument("--size", help="WIDTHxHEIGHT in pixels")
parser.add_argument("--controlnet", help="folder of a ControlNet that runs with the UNet")
parser.add_argument("--runs", type=int, default=30)
arguments = parser.parse_intermixed_args()

torch.manual_seed(0)
torch.backends.cudnn.benchmark = True
HALF = {"device": "cuda", "dtype": torch.float16}


def read(network, folder=arguments.folder):
    with open(f"{folder}/{network}/config.json") as file:
        return json.load(file)


is_pixart = os.path.exists(f"{arguments.folder}/transformer/config.json")
unet = read("transformer" if is_pixart else "unet")
if arguments.size:
    width, height = (int(pixels) // 8 for pixels in arguments.size.split("x"))
else:
    width = height = unet["sample_size"]


def make(kind, config):
    with torch.device("cuda"):
        network = kind.from_config(config).half().eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)


def make_unet():
    network = make(UNet2DConditionModel, unet)
    sample = torch.randn(2, unet["in_channels"], height, width, **HALF)
    timestep = torch.tensor(500, device="cuda")
    text = torch.randn(2, 77, unet["cross_attention_dim"], **HALF)
    added = {}
    if unet.get("addition_embed_type") == "text_time":
        pooled = unet["projection_class_embeddings_input_dim"] - 6 * unet["addition_time_embed_dim"]
        ids = torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]] * 2, **HALF)
        added = {"added_cond_kwargs": {"text_embeds": torch.randn(2, pooled, **HALF), "time_ids": ids}}
    if arguments.controlnet is None:
        return network, lambda call: call(sample, timestep, encoder_hidden_states=text, return_dict=False, **added)[0]
    controlnet = make(ControlNetModel, read(".", arguments.controlnet))
    image = torch.rand(2, 3, 8 * height, 8 * width, **HALF)

    class Controlled(torch.nn.Module):
        def forward(self):
            down, mid = controlnet(sample, timestep, text, image, return_dict=False, **added)
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
            return network(sample, timestep, encoder_hidden_states=text, return_dict=False, **residuals, **added)[0]

    return Controlled(), lambda call: call()


def make_pixart():
    network = make(PixArtTransformer2DModel, unet)
    sample = torch.randn(2, unet["in_channels"], height, width, **HALF)
    timestep = torch.tensor([500, 500], device="cuda")
    text = torch.randn(2, 120, unet["caption_channels"], **HALF)
    mask = torch.ones(2, 120, **HALF)
    sizes = {"resolution": torch.full((2, 2), 8.0 * height, **HALF), "aspect_ratio": torch.ones(2, 1, **HALF)}
    added = sizes if network.use_additional_conditions else {name: None for name in sizes}
    return network, lambda call: call(
        sample, text, timestep, added_cond_kwargs=added, encoder_attention_mask=mask, return_dict=False
    )[0]


def make_vae():
    config = read("vae")
    network = make(AutoencoderTiny if config["_class_name"] == "AutoencoderTiny" else AutoencoderKL, config)
    latents = torch.randn(1, config["latent_channels"], height, width, **HALF)
    return network.decode, lambda call: call(latents, return_dict=False)[0]


make_step = make_pixart if is_pixart else make_unet
call, apply = make_step() if arguments.network == "unet" else make_vae()


def prepare(mode):
    if mode == "eager":
        return lambda: apply(call)
    if mode == "graph":
        for _ in range(3):
            apply(call)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            apply(call)
        return graph.replay
    compiled = torch.compile(call, mode="reduce-overhead", fullgraph=True)

    def run():
        torch.compiler.cudagraph_mark_step_begin()
        return apply(compiled)

    return run


def time_runs(run):
    for _ in range(5):
        run()
    events = [(torch.cuda.Event(True), torch.cuda.Event(True)) for _ in range(arguments.runs)]
    for begin, end in events:
        begin.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return sorted(begin.elapsed_time(end) for begin, end in events)[len(events) // 2]


with torch.no_grad():
    for mode in arguments.modes:
        torch.cuda.reset_peak_memory_stats()
        begin = time.time()
        run = prepare(mode)
        run()
        torch.cuda.synchronize()
        first = time.time() - begin
        result = {
            "peer": f"torch {torch.__version__} {mode}",
            "card": torch.cuda.get_device_name(),
            "network": arguments.network,
            "ms": round(time_runs(run), 3),
            "first_s": round(first, 1),
            "peak_bytes": torch.cuda.max_memory_allocated(),
        }
        print(json.dumps(result), flush=True)
