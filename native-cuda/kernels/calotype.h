/**
 * @file What all kernels share: status codes, element types, activations, and the rules of a call.
 *
 * Every kernel is `int calotype_<kernel>(const <Kernel>Args *, cudaStream_t)`. It launches and returns: it allocates
 * nothing, keeps no state, never waits for the device, and may be captured into a graph. Pointers are device
 * addresses of the current context's device, aligned to 16 bytes. Tensors are dense and row-major; their
 * elements are of the type that the field `element` names, CALOTYPE_F16 or CALOTYPE_BF16 where a header says "16 bits".
 * All sums are in f32, of int8 in i32.
 */
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** As the CUDA headers declare it, so that including them is not needed. */
typedef struct CUstream_st *cudaStream_t;

/** A positive result is a cudaError_t: the launch was refused or an earlier one failed. */
enum CalotypeStatus {
  CALOTYPE_OK = 0,
  /** This kernel does not do this shape on this device: take the simple kernel. */
  CALOTYPE_UNSUPPORTED = -1,
  /** The arguments contradict each other; a bug of the caller. */
  CALOTYPE_INVALID = -2,
};

/** Types of a value's elements; numbers of src/kernel.ts. */
enum CalotypeElement {
  CALOTYPE_F32 = 0,
  CALOTYPE_F16 = 1,
  CALOTYPE_BF16 = 2,
};

/** The graph's activations in the order of src/graph/op.ts, then those that exist as epilogues only. */
enum CalotypeActivation {
  CALOTYPE_NONE = 0,
  CALOTYPE_RELU = 1,
  CALOTYPE_SILU = 2,
  CALOTYPE_GELU = 3,
  CALOTYPE_QUICK_GELU = 4,
  CALOTYPE_TANH = 5,
  CALOTYPE_GELU_TANH = 6,
  /** value * gelu(gate); halves the columns. The matrix and bias are packed by calotype_pack_geglu. */
  CALOTYPE_GEGLU = 7,
};

/** Bits of a call's `flags`. */
enum CalotypeFlags {
  /**
   * The kernel may be scheduled before the one ahead of it in the stream has ended (programmatic dependent launch);
   * it waits for that one's results itself before it touches memory, but for a matrix or filter, which it may read at
   * once: the kernel ahead must not be the one that writes it. Ignored on all cards but Hopper.
   */
  CALOTYPE_OVERLAP = 1,
};

#ifdef __cplusplus
}
#endif
