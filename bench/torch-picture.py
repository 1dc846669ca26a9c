"""Times diffusers drawing a whole picture on a CPU or a card: the peer of `calotype bench picture`.

    pip install torch diffusers==0.42.1 transformers
    python bench/torch-picture.py models/emoji-starter "a red apple, 3D" --device cpu

Takes steps, guidance and size from the folder's calotype.json. Prints one JSON line: `cold_s` is this process from its
start to the first picture, imports and weights included; `warm_s` the median of the pictures after it.
"""

import time

begin = time.time()

import argparse
import json
import os

import torch
from diffusers import DiffusionPipeline

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("prompt")
parser.add_argument("--device", default="cpu")
parser.add_argument("--dtype", default="float32")
parser.add_argument("--threads", type=int)
parser.add_argument("--repeats", type=int, default=3)
arguments = parser.parse_args()

if arguments.threads:
    torch.set_num_threads(arguments.threads)
with open(os.path.join(arguments.model, "calotype.json")) as file:
    recommended = json.load(file)
settings = {
    "num_inference_steps": recommended["numInferenceSteps"],
    "guidance_scale": recommended["guidanceScale"],
    "guidance_rescale": recommended["guidanceRescale"],
    "height": recommended["height"],
    "width": recommended["width"],
}
pipe = DiffusionPipeline.from_pretrained(arguments.model, torch_dtype=getattr(torch, arguments.dtype))
pipe.to(arguments.device)
pipe.set_progress_bar_config(disable=True)


def draw(seed):
    generator = torch.Generator("cpu").manual_seed(seed)
    return pipe(arguments.prompt, generator=generator, **settings).images[0]


draw(7)
cold = time.time() - begin
times = []
for repeat in range(arguments.repeats):
    start = time.time()
    draw(8 + repeat)
    times.append(time.time() - start)
print(
    json.dumps(
        {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": arguments.device,
            "cold_s": round(cold, 2),
            "warm_s": round(sorted(times)[len(times) // 2], 2),
        }
    )
)
