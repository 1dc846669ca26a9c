/** @file The matrix instructions of sm_80 and later: a warp multiplies [16, 32 bytes] by [32 bytes, 8] into f32 or i32. */
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

namespace calotype {

/** Copies 16 bytes to shared memory behind the thread's back, or zeros. */
__device__ __forceinline__ void copy_async(uint32_t to, const void *from, bool isInside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(isInside ? 16 : 0) : "memory");
}
__device__ __forceinline__ void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/** Waits until at most `Pending` committed groups are still under way. */
template <int Pending>
__device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

/** Four blocks of 8x8 halves; lane 8 i + r gives the address of row r of block i. */
__device__ __forceinline__ void load_blocks(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
__device__ __forceinline__ void load_blocks_transposed(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

#define PRODUCT_16X8(T, SUM, C, TYPES)                                                                                 \
  template <>                                                                                                         \
  __device__ __forceinline__ void multiply_16x8<T>(SUM *d, const uint32_t *a, const uint32_t *b) {                    \
    asm volatile("mma.sync.aligned." TYPES " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"         \
                 : C(d[0]), C(d[1]), C(d[2]), C(d[3])                                                                 \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                                 \
  }

/** d[0..3] += a b, of operands of type T */
template <class T, class Sum>
__device__ __forceinline__ void multiply_16x8(Sum *d, const uint32_t *a, const uint32_t *b);

PRODUCT_16X8(__half, float, "+f", "m16n8k16.row.col.f32.f16.f16.f32")
PRODUCT_16X8(__nv_bfloat16, float, "+f", "m16n8k16.row.col.f32.bf16.bf16.f32")
PRODUCT_16X8(int8_t, int32_t, "+r", "m16n8k32.row.col.s32.s8.s8.s32")

}  // namespace calotype
