"""Times torch on a UNet's step with random weights: the peer of `calotype bench`, to be run on the same card.

    pip install torch diffusers==0.42.1
    python bench/torch-unet.py test/fixtures/configs/sd15 eager graph compile

SD1.5 at 512x512 and SDXL at 1024x1024 (the sizes in the configs), batch 2 (one picture under guidance), float16.
Prints one JSON line for each mode: `ms` is the median of 30 steps by CUDA events, `first_s` the time to the first.
"""

import json
import sys
import time

import torch
from diffusers import UNet2DConditionModel

folder, *modes = sys.argv[1:]
config = json.load(open(f"{folder}/unet/config.json"))
torch.manual_seed(0)
torch.backends.cudnn.benchmark = True
half = {"device": "cuda", "dtype": torch.float16}

with torch.device("cuda"):
    unet = UNet2DConditionModel.from_config(config).half().eval().requires_grad_(False)
unet.to(memory_format=torch.channels_last)
size = config["sample_size"]
sample = torch.randn(2, config["in_channels"], size, size, **half)
timestep = torch.tensor(500, device="cuda")
text = torch.randn(2, 77, config["cross_attention_dim"], **half)
added = {}
if config.get("addition_embed_type") == "text_time":
    width = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
    ids = torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]] * 2, **half)
    added = {"added_cond_kwargs": {"text_embeds": torch.randn(2, width, **half), "time_ids": ids}}


def step(network):
    return network(sample, timestep, encoder_hidden_states=text, return_dict=False, **added)[0]


def time_steps(run, count=30, warm_up=5):
    for _ in range(warm_up):
        run()
    events = [(torch.cuda.Event(True), torch.cuda.Event(True)) for _ in range(count)]
    for begin, end in events:
        begin.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return sorted(begin.elapsed_time(end) for begin, end in events)[count // 2]


def prepare(mode):
    if mode == "eager":
        return lambda: step(unet)
    if mode == "graph":
        for _ in range(3):
            step(unet)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step(unet)
        return graph.replay
    if mode == "compile":
        compiled = torch.compile(unet, mode="reduce-overhead", fullgraph=True)

        def run():
            torch.compiler.cudagraph_mark_step_begin()
            return step(compiled)

        return run
    raise SystemExit(f"no mode {mode}: use eager, graph or compile")


with torch.no_grad():
    for mode in modes:
        begin = time.time()
        run = prepare(mode)
        run()
        torch.cuda.synchronize()
        first = time.time() - begin
        card = torch.cuda.get_device_name()
        result = {"torch": torch.__version__, "card": card, "mode": mode, "first_s": round(first, 1)}
        print(json.dumps({"model": folder, **result, "ms": round(time_steps(run), 3)}), flush=True)
