// The kernels that a launch list may name.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

using LaunchFunction = int (*)(const void* args, cudaStream_t stream);

struct KernelEntry {
  const char* name;
  // sizeof of its argument struct, which the TypeScript half compares with what it would write.
  size_t args_size;
  LaunchFunction launch;
};

extern const KernelEntry KERNELS[];
extern const size_t KERNEL_COUNT;
