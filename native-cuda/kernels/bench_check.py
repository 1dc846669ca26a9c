"""
Compares every kernel and configuration with torch in f32 on shapes that have tails, odd strides and all epilogues.

    python3 bench_check.py LIBRARY GROUP [FIRST LAST]    GROUP: gemm, conv, attention or norms; configs from FIRST on
"""

import sys

import torch
import torch.nn.functional as F

from bench_calls import Kernels

torch.manual_seed(0)
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
failures = 0
first, last = (int(n) for n in sys.argv[3:5] or (-1, 99))


def randn(*shape, scale=1.0):
    return (torch.randn(*shape, device="cuda") * scale).half()


def poisoned(*shape):
    return torch.full(shape, float("nan"), device="cuda", dtype=torch.half)


def judge(name, out, expected, bound=1.5e-3):
    """Prints shapes that differ; f16 outputs of f32 sums are within 5e-4 of the truth."""
    global failures
    torch.cuda.synchronize()
    error = ((out.float() - expected).norm() / expected.norm()).item()
    if not error < bound:
        failures += 1
        wrong = ~((out.float() - expected).abs() <= 0.02 * expected.abs().clamp(min=1))
        where = wrong.nonzero()
        print(f"FAIL {name}: error {error:.2e}, {len(where)} of {out.numel()} wrong, first {where[:1].tolist()}")
    return error


def act(x, activation):
    functions = {"none": lambda x: x, "silu": F.silu, "gelu": F.gelu, "relu": F.relu, "tanh": torch.tanh}
    functions["gelu_tanh"] = lambda x: F.gelu(x, approximate="tanh")
    functions["quick_gelu"] = lambda x: x * torch.sigmoid(1.702 * x)
    return functions[activation](x)


def attempt(name, call):
    global failures
    try:
        call()
    except NotImplementedError:
        return
    except RuntimeError as error:
        failures += 1
        print(f"FAIL {name}: {error}")


def check_gemm(kernels):
    shapes = [(256, 320, 320), (2048, 640, 640), (130, 1280, 1280), (1, 320, 1280), (77, 768, 72), (300, 4, 320), (8192, 1920, 448)]
    for config in range(first, min(last, kernels.library.calotype_gemm_configs())):
        for m, n, k in shapes:
            for activation in ["none", "silu", "geglu"] if n % 16 == 0 else ["none"]:
                name = f"gemm {m}x{n}x{k} {activation} config {config}"
                x, weight, bias = randn(m, k), randn(n, k, scale=k**-0.5), randn(n)
                expected = x.float() @ weight.float().T + bias.float()
                if activation == "geglu":
                    out, residual = poisoned(m, n // 2), None
                    value, gate = expected.chunk(2, dim=1)
                    expected = value * F.gelu(gate)
                    weight, bias = kernels.pack("geglu", weight).view(n, k), kernels.pack("geglu", bias)
                else:
                    out, residual = poisoned(m, n), randn(m, n)
                    expected = act(expected + residual.float(), activation)
                    if activation == "silu":
                        out = residual  # in place

                def call():
                    kernels.gemm(x, weight, out, bias, residual, activation, config)
                    judge(name, out, expected)

                attempt(name, call)
    x, weight = randn(64, 64), randn(64, 64, scale=0.125)
    for activation in ["relu", "gelu", "gelu_tanh", "quick_gelu", "tanh"]:
        out = poisoned(64, 64)
        kernels.gemm(x, weight, out, activation=activation)
        judge("gemm " + activation, out, act(x.float() @ weight.float().T, activation))


def check_conv(kernels):
    # batch, height, width, channels, channels2, out, kernel, stride, padding (top, left, bottom, right), upsample
    same, none = (1, 1, 1, 1), (0, 0, 0, 0)
    shapes = [
        (2, 16, 16, 320, 0, 320, 3, 1, same, False),
        (2, 24, 40, 64, 0, 160, 3, 1, same, False),
        (1, 9, 7, 40, 0, 72, 3, 1, same, False),
        (2, 16, 16, 320, 0, 320, 3, 2, same, False),
        (1, 33, 17, 64, 0, 64, 3, 2, (0, 0, 1, 1), False),
        (2, 8, 8, 128, 64, 256, 3, 1, same, False),
        (2, 8, 8, 72, 40, 128, 3, 1, same, False),
        (2, 16, 16, 128, 64, 320, 1, 1, none, False),
        (2, 16, 16, 64, 0, 64, 1, 2, none, False),
        (2, 8, 8, 1280, 0, 1280, 3, 1, same, False),
        (2, 16, 16, 320, 0, 320, 3, 1, same, True),
        (3, 9, 5, 64, 0, 128, 3, 1, same, True),
        (1, 32, 32, 128, 0, 3, 3, 1, same, False),
    ]
    for config in range(first, min(last, kernels.library.calotype_gemm_configs())):
        for batch, height, width, c1, c2, out_channels, kernel, stride, pad, upsample in shapes:
            name = f"conv {(batch, height, width, c1, c2, out_channels, kernel, stride, pad, upsample)} config {config}"
            x, x2 = randn(batch, height, width, c1), randn(batch, height, width, c2) if c2 else None
            weight = randn(out_channels, c1 + c2, kernel, kernel, scale=((c1 + c2) * kernel**2) ** -0.5)
            bias, rows = randn(out_channels), randn(5, out_channels)
            index = torch.randint(0, 5, (batch,), device="cuda", dtype=torch.int32)
            image = (x if x2 is None else torch.cat([x, x2], dim=3)).float().permute(0, 3, 1, 2)
            if upsample:
                image = F.interpolate(image, scale_factor=2.0, mode="nearest")
            image = F.pad(image, (pad[1], pad[3], pad[0], pad[2]))
            expected = F.conv2d(image, weight.float(), bias.float(), stride=stride).permute(0, 2, 3, 1)
            residual = randn(*expected.shape)
            expected = F.silu(expected + rows.float()[index.long()][:, None, None] + residual.float())
            packed = kernels.pack("conv_upsample" if upsample else "conv", weight)
            out = poisoned(*expected.shape)

            def call():
                kernels.conv(x, packed, out, kernel, x2, bias, rows, index, residual, stride, pad, upsample, "silu", config)
                judge(name, out, expected)

            attempt(name, call)


def check_attention(kernels):
    for width in [40, 48, 56, 64, 72, 80, 96, 128, 160, 512]:
        for queries, keys, causal in [(256, 256, False), (200, 77, False), (77, 77, True), (1000, 333, False), (64, 64, False), (300, 300, True)]:
            for config in range(-1, 3 if width <= 160 else 0):
                heads = 1 if width == 512 else 3
                name = f"attention width {width}, {queries} to {keys}, causal {causal}, config {config}"
                channels, scale = heads * width, width**-0.5
                if queries == keys:
                    q, k, v = randn(2, queries, 3 * channels).split(channels, dim=2)
                else:
                    q = randn(2, queries, channels)
                    k, v = randn(2, keys, 2 * channels).split(channels, dim=2)
                q = q * 2 if queries != keys else q
                split = [t.float().unflatten(2, (heads, width)).transpose(1, 2) for t in (q, k, v)]
                expected = F.scaled_dot_product_attention(*split, is_causal=causal, scale=scale).transpose(1, 2).flatten(2)
                out = poisoned(2, queries, channels)

                def call():
                    kernels.attention(q, k, v, out, heads, scale, causal, config)
                    judge(name, out, expected, 2e-3)

                attempt(name, call)


def check_norms(kernels):
    shapes = [
        (2, 4096, 320, 0, 32), (2, 64, 1280, 1280, 32), (2, 1024, 1280, 640, 32), (2, 4096, 640, 320, 32), (1, 77, 64, 0, 8),
        (1, 65536, 256, 0, 32), (1, 262144, 128, 0, 32), (1, 262144, 256, 0, 32), (3, 100, 40, 24, 4), (2, 16384, 320, 0, 32),
        (2, 16384, 640, 320, 32), (1, 4, 512, 0, 32),
    ]  # fmt: skip
    for batch, pixels, c1, c2, groups in shapes:
        for silu in [False, True]:
            name = f"group norm {(batch, pixels, c1, c2, groups, silu)}"
            x, x2 = randn(batch, pixels, c1) + 0.5, randn(batch, pixels, c2) if c2 else None
            weight, bias = randn(c1 + c2), randn(c1 + c2)
            whole = (x if x2 is None else torch.cat([x, x2], dim=2)).float().transpose(1, 2)
            expected = F.group_norm(whole, groups, weight.float(), bias.float(), 1e-5).transpose(1, 2)
            expected = F.silu(expected) if silu else expected
            out = poisoned(*expected.shape)

            def call():
                kernels.group_norm(x, weight, bias, out, groups, 1e-5, x2, silu)
                judge(name, out, expected)

            attempt(name, call)
    for rows, channels in [(8192, 320), (2048, 640), (513, 1280), (77, 768), (3, 8), (9, 2048), (5, 8192)]:
        x, weight, bias, out = randn(rows, channels) + 1, randn(channels), randn(channels), poisoned(rows, channels)
        kernels.layer_norm(x, weight, bias, out, 1e-5)
        judge(f"layer norm {rows}x{channels}", out, F.layer_norm(x.float(), (channels,), weight.float(), bias.float(), 1e-5))


if __name__ == "__main__":
    checks = {"gemm": check_gemm, "conv": check_conv, "attention": check_attention, "norms": check_norms}
    checks[sys.argv[2]](Kernels(sys.argv[1]))
    print(f"{sys.argv[2:]}: {failures} failures")
    sys.exit(failures > 0)
