"""The kernels' C interface for Python: argument structures as in the headers, and calls on torch tensors."""

import ctypes
from ctypes import POINTER, Structure, byref, c_float, c_int32, c_int64, c_void_p
from pathlib import Path

import torch

ACTIVATIONS = {"none": 0, "relu": 1, "silu": 2, "gelu": 3, "quick_gelu": 4, "tanh": 5, "gelu_tanh": 6, "geglu": 7}
UNSUPPORTED = -1


def fields(pointers, ints):
    return [(name, c_void_p) for name in pointers.split()] + [(name, c_int32) for name in ints.split()]


class Gemm(Structure):
    _fields_ = fields("x weight bias residual out", "m n k activation flags config")


class Conv(Structure):
    _fields_ = fields(
        "x x2 weight bias rows rowIndex residual out",
        "batch height width channels channels2 outChannels kernelHeight kernelWidth stride"
        " padTop padLeft padBottom padRight upsample activation flags config",
    )


class Attention(Structure):
    _fields_ = (
        fields("q k v out", "qStride kStride vStride batch heads headDim queries keys")
        + [("scale", c_float)]
        + fields("", "causal flags config")
    )


class GroupNorm(Structure):
    _fields_ = (
        fields("x x2 weight bias out scratch", "batch pixels channels channels2 groups")
        + [("eps", c_float)]
        + fields("", "activation flags")
    )


class LayerNorm(Structure):
    _fields_ = fields("x weight bias out", "rows channels") + [("eps", c_float), ("flags", c_int32)]


class Pack(Structure):
    _fields_ = fields("in out", "outChannels channels kernelHeight kernelWidth")


class Kernels:
    """Calls raise on any status but 0; `flags` applies to all."""

    def __init__(self, path, flags=0):
        self.library = ctypes.CDLL(str(Path(path).resolve()))
        self.library.calotype_group_norm_scratch.restype = c_int64
        self.flags = flags

    def run(self, name, args):
        status = getattr(self.library, "calotype_" + name)(byref(args), c_void_p(torch.cuda.current_stream().cuda_stream))
        if status == UNSUPPORTED:
            raise NotImplementedError(name)
        if status:
            raise RuntimeError(f"{name}: status {status}")

    def gemm(self, x, weight, out, bias=None, residual=None, activation="none", config=-1):
        m, k = x.shape
        args = Gemm(*pointers(x, weight, bias, residual, out), m, weight.shape[0], k)
        args.activation, args.flags, args.config = ACTIVATIONS[activation], self.flags, config
        self.run("gemm", args)

    def conv(self, x, weight, out, kernel=3, x2=None, bias=None, rows=None, row_index=None, residual=None, stride=1,
             pad=(1, 1, 1, 1), upsample=False, activation="none", config=-1):
        batch, height, width, channels = x.shape
        args = Conv(*pointers(x, x2, weight, bias, rows, row_index, residual, out), batch, height, width, channels)
        args.channels2 = 0 if x2 is None else x2.shape[3]
        args.outChannels = out.shape[3]
        args.kernelHeight = args.kernelWidth = kernel
        args.stride = stride
        args.padTop, args.padLeft, args.padBottom, args.padRight = pad
        args.upsample = int(upsample)
        args.activation, args.flags, args.config = ACTIVATIONS[activation], self.flags, config
        self.run("conv", args)

    def attention(self, q, k, v, out, heads, scale, causal=False, config=-1):
        """q, k, v: [batch, tokens, channels] views whose last axis is dense."""
        args = Attention(*pointers(q, k, v, out), q.stride(1), k.stride(1), v.stride(1), q.shape[0], heads)
        args.headDim = q.shape[2] // heads
        args.queries, args.keys, args.scale, args.causal = q.shape[1], k.shape[1], scale, int(causal)
        args.flags, args.config = self.flags, config
        self.run("attention", args)

    def group_norm(self, x, weight, bias, out, groups, eps, x2=None, silu=False):
        batch, pixels, channels = x.shape
        args = GroupNorm(*pointers(x, x2, weight, bias, out, None), batch, pixels, channels)
        args.channels2 = 0 if x2 is None else x2.shape[2]
        args.groups, args.eps, args.activation, args.flags = groups, eps, 2 if silu else 0, self.flags
        size = self.library.calotype_group_norm_scratch(byref(args))
        if size:
            self.scratch = torch.empty(size, dtype=torch.uint8, device="cuda")
            args.scratch = self.scratch.data_ptr()
        self.run("group_norm", args)

    def layer_norm(self, x, weight, bias, out, eps):
        self.run("layer_norm", LayerNorm(*pointers(x, weight, bias, out), x.shape[0], x.shape[1], eps, self.flags))

    def pack(self, kind, weight):
        """`kind`: conv, conv_upsample or geglu. The weight in the order that the kernels read."""
        out_channels, channels, height, width = (*weight.shape, 1, 1, 1)[:4]
        count = weight.numel() // 9 * 16 if kind == "conv_upsample" else weight.numel()
        out = torch.empty(count, dtype=torch.half, device="cuda")
        self.run("pack_" + kind, Pack(*pointers(weight, out), out_channels, channels, height, width))
        return out


def pointers(*tensors):
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]
