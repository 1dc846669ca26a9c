"""Times one process of diffusers that draws pictures one call after the other: the peer of `npm run bench -- serve`.

    pip install torch diffusers==0.42.1 transformers
    python bench/torch-serve.py models/emoji-starter --batch 1,4 --seconds 10

Takes steps, guidance and size from the folder's calotype.json, float16 on a card and float32 on a CPU. Prints a JSON line
for each batch size: pictures a second, and the median seconds of a call.
"""

import argparse
import json
import os
import time

import torch
from diffusers import DiffusionPipeline

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--batch", default="1")
parser.add_argument("--seconds", type=float, default=10)
parser.add_argument("--threads", type=int)
arguments = parser.parse_args()

if arguments.threads:
    torch.set_num_threads(arguments.threads)
with open(os.path.join(arguments.model, "calotype.json")) as file:
    recommended = json.load(file)
device = "cuda" if torch.cuda.is_available() else "cpu"
pipe = DiffusionPipeline.from_pretrained(
    arguments.model, torch_dtype=torch.float16 if device == "cuda" else torch.float32
).to(device)
pipe.set_progress_bar_config(disable=True)


def draw(batch, seed):
    pipe(
        ["a red apple, 3D"] * batch,
        generator=[torch.Generator("cpu").manual_seed(seed + i) for i in range(batch)],
        num_inference_steps=recommended["numInferenceSteps"],
        guidance_scale=recommended["guidanceScale"],
        height=recommended["height"],
        width=recommended["width"],
    )


for batch in map(int, arguments.batch.split(",")):
    for seed in range(2):
        draw(batch, seed)
    begin, times = time.time(), []
    while time.time() - begin < arguments.seconds:
        start = time.time()
        draw(batch, len(times))
        times.append(time.time() - start)
    print(
        json.dumps(
            {
                "batch": batch,
                "perSecond": batch * len(times) / (time.time() - begin),
                "median": sorted(times)[len(times) // 2],
            }
        ),
        flush=True,
    )
