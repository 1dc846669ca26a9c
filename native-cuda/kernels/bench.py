"""
Times every kernel in every configuration on the shapes of a step, beside torch (cuBLAS, cuDNN, its flash attention).

    python3 bench.py LIBRARY OUT.json [SET ...]    SET: sd15, sdxl, vae

Each time is of one call in a CUDA graph of many, the median of five replays; weights rotate, so that they come from
memory as they do in a step, and activations stay in the cache. Torch's matrix products and convolutions come without
their epilogues' activation; ours do all of it.
"""

import json
import os
import sys
from statistics import median

import torch
import torch.nn.functional as F

from bench_calls import Kernels
from bench_shapes import SHAPES

torch.backends.cudnn.benchmark = True
WEIGHT_BYTES = 150e6
OVERLAP = 1  # as kernels are launched in a step


def randn(*shape, scale=1.0):
    return (torch.randn(*shape, device="cuda") * scale).half()


def rotated(*shape, scale):
    first = randn(*shape, scale=scale)
    copies = int(min(24, max(1, WEIGHT_BYTES // (first.numel() * 2))))
    return [first.clone() for _ in range(copies)]


def time_us(call, expected_us):
    """`call(i)` is made for several i in a graph. None if the configuration cannot do the shape."""
    repeats = int(max(2, min(24, 1500 / expected_us)))
    try:
        call(0)
    except NotImplementedError:
        return None
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        call(0)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(repeats):
            call(i)
    times = []
    for _ in range(5):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / repeats)
    return median(times)


def conv_case(kernels, batch, side, c1, c2, out_channels, kernel, stride, upsample, count):
    x, x2 = randn(batch, side, side, c1), randn(batch, side, side, c2) if c2 else None
    scale = ((c1 + c2) * kernel**2) ** -0.5
    taps = 16 if upsample else kernel**2
    weights = rotated(out_channels * taps * (c1 + c2), scale=scale)
    size = side * (2 if upsample else 1) // stride
    out, bias, residual = randn(batch, size, size, out_channels), randn(out_channels), None
    rows = randn(batch, out_channels) if out_channels % 8 == 0 and not upsample and kernel == 3 else None
    pad = (kernel // 2,) * 4
    if stride == 2:
        pad = (1, 1, 1, 1)
    image = torch.cat([x, x2], dim=3) if c2 else x
    image = image.permute(0, 3, 1, 2)
    filters = [
        w[: out_channels * kernel**2 * (c1 + c2)].view(out_channels, kernel, kernel, c1 + c2).permute(0, 3, 1, 2)
        for w in weights
    ]
    image = F.interpolate(image, scale_factor=2.0, mode="nearest") if upsample else image
    flops = 2 * batch * size**2 * out_channels * kernel**2 * (c1 + c2)

    def ours(config):
        return lambda i: kernels.conv(
            x, weights[i % len(weights)], out, kernel, x2, bias, rows, None, residual, stride, pad, bool(upsample), "none", config
        )

    def theirs(i):
        return F.conv2d(image, filters[i % len(filters)], bias, stride=stride, padding=kernel // 2)

    return ours, theirs, kernels.library.calotype_gemm_configs(), flops


def gemm_case(kernels, batch, m, n, k, epilogue, count):
    x, weights, bias = randn(m, k), rotated(n, k, scale=k**-0.5), randn(n)
    geglu = epilogue == "geglu"
    out = randn(m, n // 2 if geglu else n)
    residual = randn(m, n) if epilogue == "residual" else None

    def ours(config):
        activation = "geglu" if geglu else "none"
        return lambda i: kernels.gemm(x, weights[i % len(weights)], out, bias, residual, activation, config)

    return ours, lambda i: F.linear(x, weights[i % len(weights)], bias), kernels.library.calotype_gemm_configs(), 2 * m * n * k


def attention_case(kernels, batch, heads, width, queries, keys, count):
    q = randn(batch, queries, 3 * heads * width)
    k, v = randn(batch, keys, 2 * heads * width).split(heads * width, dim=2)
    if queries == keys:
        q, k, v = q.split(heads * width, dim=2)
    else:
        q = q[:, :, : heads * width].contiguous()
    out = randn(batch, queries, heads * width)
    split = [t.unflatten(2, (heads, width)).transpose(1, 2) for t in (q, k, v)]

    def ours(config):
        return lambda i: kernels.attention(q, k, v, out, heads, width**-0.5, False, config)

    def theirs(i):
        return F.scaled_dot_product_attention(*split)

    return ours, theirs, 3 if width <= 160 else 1, 4 * batch * heads * queries * keys * width


def group_norm_case(kernels, batch, pixels, c1, c2, count):
    x, x2 = randn(batch, pixels, c1), randn(batch, pixels, c2) if c2 else None
    weight, bias, out = randn(c1 + c2), randn(c1 + c2), randn(batch, pixels, c1 + c2)
    image = (torch.cat([x, x2], dim=2) if c2 else x).transpose(1, 2).contiguous()

    def ours(config):
        return lambda i: kernels.group_norm(x, weight, bias, out, 32, 1e-5, x2, True)

    return ours, lambda i: F.group_norm(image, 32, weight, bias), 1, 10 * out.numel()


def layer_norm_case(kernels, batch, rows, channels, count):
    x, weight, bias, out = randn(rows, channels), randn(channels), randn(channels), randn(rows, channels)

    def ours(config):
        return lambda i: kernels.layer_norm(x, weight, bias, out, 1e-5)

    return ours, lambda i: F.layer_norm(x, (channels,), weight, bias), 1, 8 * out.numel()


CASES = dict(conv=conv_case, gemm=gemm_case, attention=attention_case, group_norm=group_norm_case, layer_norm=layer_norm_case)


# Configurations that are known to be broken, by number.
SKIP = {int(n) for n in os.environ.get("SKIP", "").split()}


def main():
    library, path, *sets = sys.argv[1:]
    kernels, results = Kernels(library, OVERLAP), []
    for name in sets or SHAPES:
        shapes = SHAPES[name]
        totals = [0.0, 0.0, 0.0]
        for kind, case in CASES.items():
            for shape in shapes[kind]:
                count = shape[-1]
                ours, theirs, configs, flops = case(kernels, shapes.get("batch", 2), *shape)
                guess = max(2.0, flops / 4e8)
                chosen = time_us(ours(-1), guess) if not SKIP else 0.0
                times = {c: time_us(ours(c), guess) for c in range(configs) if c not in SKIP or kind == "attention"} if configs > 1 else {-1: chosen}
                times = {c: t for c, t in times.items() if t is not None}
                torch_us = time_us(theirs, guess)
                ranked = sorted(times, key=times.get)
                best = times[ranked[0]]
                for i, t in enumerate([chosen, best, torch_us]):
                    totals[i] += t * count
                results.append(dict(set=name, kind=kind, shape=shape, chosen=chosen, torch=torch_us, times=times))
                top = " ".join(f"{c}:{times[c]:.1f}" for c in ranked[:6])
                rate = flops / best / 1e6 if kind in ("conv", "gemm", "attention") else 0
                print(f"{name} {kind:10} {str(shape):42} chosen {chosen:7.1f} torch {torch_us:7.1f} {rate:4.0f}T | {top}", flush=True)
        print(f"{name}: chosen {totals[0] / 1e3:.3f} ms, best {totals[1] / 1e3:.3f}, torch {totals[2] / 1e3:.3f}", flush=True)
    with open(path, "w") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main()
