"""Times ONNX Runtime's WebGPU provider on the UNet that bench/export-onnx.py wrote: a peer of `calotype bench unet`.

    pip install onnxruntime-webgpu numpy
    python bench/ort-webgpu.py bench/.onnx/sd15

Inputs are given and outputs taken on the host. Prints one JSON line like bench/torch-step.py.
"""

import json
import sys
import time

import numpy as np
import onnxruntime as ort

begin = time.time()
options = ort.SessionOptions()
options.log_severity_level = 3
providers = ["WebGpuExecutionProvider", "CPUExecutionProvider"]
session = ort.InferenceSession(f"{sys.argv[1]}/unet.onnx", options, providers=providers)
if session.get_providers()[0] != providers[0]:
    raise SystemExit("ONNX Runtime found no WebGPU adapter")
rng = np.random.default_rng(0)
feeds = {}
for value in session.get_inputs():
    if value.type == "tensor(int64)":
        feeds[value.name] = np.full(value.shape, 500, np.int64)
    else:
        feeds[value.name] = rng.standard_normal(value.shape).astype(np.float16)
session.run(None, feeds)
first = time.time() - begin
times = []
for _ in range(12):
    start = time.time()
    session.run(None, feeds)
    times.append(1000 * (time.time() - start))
result = {
    "peer": f"onnxruntime-webgpu {ort.__version__}",
    "network": "unet",
    "ms": round(sorted(times)[len(times) // 2], 3),
    "first_s": round(first, 1),
}
print(json.dumps(result))
