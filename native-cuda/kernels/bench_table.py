"""
Writes measured_sm90.h from what bench.py measured: the fastest tile of each matrix product and convolution.

    python3 bench_table.py RESULT.json ... > measured_sm90.h
"""

import json
import sys

from bench_shapes import SHAPES

print('''/**
 * @file Written by bench_table.py from times on an H100 80GB HBM3 (700 W): the fastest tile for the shapes of SD 1.5 at
 * 512x512, SDXL at 1024x1024 (both two images) and their decoder (one). Microseconds, and torch's beside them.
 */
#pragma once

// rows, columns, depth, taps, phases, config''')
print("#define CALOTYPE_MEASURED(X) \\")
seen, lines = set(), []
for path in sys.argv[1:]:
    for result in json.load(open(path)):
        if result["kind"] == "gemm":
            m, n, depth, epilogue, _ = result["shape"]
            key = (m, n, depth, 1, 1)
        elif result["kind"] == "conv":
            side, c1, c2, n, kernel, stride, upsample, _ = result["shape"]
            batch = SHAPES[result["set"]].get("batch", 2)
            taps = 4 if upsample else kernel**2
            key = (batch * (side // stride) ** 2, n, taps * (c1 + c2), taps, 4 if upsample else 1)
        else:
            continue
        if key in seen:
            continue
        seen.add(key)
        times = {int(config): time for config, time in result["times"].items()}
        best = min(times, key=times.get)
        x = f"  X({', '.join(map(str, key))}, {best})"
        lines.append(f"{x:50} /* {times[best]:7.1f} {result['torch']:7.1f} */")
print(" \\\n".join(lines))
