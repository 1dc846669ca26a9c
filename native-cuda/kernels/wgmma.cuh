/**
 * @file Hopper's matrix instruction: a warp group of 128 threads multiplies [64, 32 bytes] by [32 bytes, N] into f32, or i32
 * for int8.
 */
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <stdint.h>

namespace calotype {

/**
 * Describes an operand in shared memory in rows of 128 swizzled bytes, eight rows an atom of 1024 bytes.
 * Both steps are in bytes. `groupStep` leads from eight rows to the next eight; `chunkStep` from 64 columns to the
 * next 64, and is not read where the rows run along K.
 */
__device__ __forceinline__ uint64_t operand(uint32_t address, uint32_t groupStep = 1024, uint32_t chunkStep = 16) {
  return uint64_t((address & 0x3FFFF) >> 4) | uint64_t(chunkStep >> 4) << 16 | uint64_t(groupStep >> 4) << 32 |
         uint64_t(1) << 62;
}

__device__ __forceinline__ void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/** Waits until at most `Pending` committed groups are still running. */
template <int Pending>
__device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}

/** Keeps the compiler from moving reads or writes of accumulators over this point while products are under way. */
template <int Count>
__device__ __forceinline__ void pin(float (&d)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; i++) asm volatile("" : "+f"(d[i])::"memory");
}
template <int Count>
__device__ __forceinline__ void pin(int32_t (&d)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; i++) asm volatile("" : "+r"(d[i])::"memory");
}

/**
 * Of operands of type T. multiply: d += a b^T, both in shared memory with rows along K. Of 16 bits also multiply_scaled:
 * the same with d taken as 0 if `keep` is 0, and multiply_registers: d += a b, a in registers as accumulators are laid
 * out, b in rows along N.
 */
template <class T, int N>
struct Product;

// Registers by eights, as the assembler numbers them, and as C++ names them.
#define R0 "%0,%1,%2,%3,%4,%5,%6,%7"
#define R1 "%8,%9,%10,%11,%12,%13,%14,%15"
#define R2 "%16,%17,%18,%19,%20,%21,%22,%23"
#define R3 "%24,%25,%26,%27,%28,%29,%30,%31"
#define R4 "%32,%33,%34,%35,%36,%37,%38,%39"
#define R5 "%40,%41,%42,%43,%44,%45,%46,%47"
#define R6 "%48,%49,%50,%51,%52,%53,%54,%55"
#define R7 "%56,%57,%58,%59,%60,%61,%62,%63"
#define R8 "%64,%65,%66,%67,%68,%69,%70,%71"
#define R9 "%72,%73,%74,%75,%76,%77,%78,%79"
#define R10 "%80,%81,%82,%83,%84,%85,%86,%87"
#define R11 "%88,%89,%90,%91,%92,%93,%94,%95"
#define R12 "%96,%97,%98,%99,%100,%101,%102,%103"
#define R13 "%104,%105,%106,%107,%108,%109,%110,%111"
#define R14 "%112,%113,%114,%115,%116,%117,%118,%119"
#define R15 "%120,%121,%122,%123,%124,%125,%126,%127"
// C is the accumulators' constraint.
#define D4(C, i) C(d[i]), C(d[i + 1]), C(d[i + 2]), C(d[i + 3])
#define D8(C, i) D4(C, i), D4(C, i + 4)
#define D16(C, i) D8(C, i), D8(C, i + 8)
#define D32(C, i) D16(C, i), D16(C, i + 16)
#define D64(C, i) D32(C, i), D32(C, i + 32)
#define LIST16 R0
#define LIST32 R0 "," R1
#define LIST40 LIST32 ",%16,%17,%18,%19"
#define LIST48 LIST32 "," R2
#define LIST64 LIST48 "," R3
#define LIST72 LIST64 ",%32,%33,%34,%35"
#define LIST80 LIST64 "," R4
#define LIST96 LIST80 "," R5
#define LIST128 LIST96 "," R6 "," R7
#define LIST160 LIST128 "," R8 "," R9
#define LIST192 LIST160 "," R10 "," R11
#define LIST256 LIST192 "," R12 "," R13 "," R14 "," R15

// N, the numbers of the operands after the accumulators, the accumulators.
#define WIDTHS_OF_VALUES(X)                                    \
  X(16, 8, 9, 10, 11, 12, D8("+f", 0))                         \
  X(32, 16, 17, 18, 19, 20, D16("+f", 0))                      \
  X(40, 20, 21, 22, 23, 24, D16("+f", 0), D4("+f", 16))        \
  X(48, 24, 25, 26, 27, 28, D16("+f", 0), D8("+f", 16))        \
  X(64, 32, 33, 34, 35, 36, D32("+f", 0))                      \
  X(72, 36, 37, 38, 39, 40, D32("+f", 0), D4("+f", 32))        \
  X(80, 40, 41, 42, 43, 44, D32("+f", 0), D8("+f", 32))        \
  X(96, 48, 49, 50, 51, 52, D32("+f", 0), D16("+f", 32))       \
  X(128, 64, 65, 66, 67, 68, D64("+f", 0))                     \
  X(160, 80, 81, 82, 83, 84, D64("+f", 0), D16("+f", 64))      \
  X(192, 96, 97, 98, 99, 100, D64("+f", 0), D32("+f", 64))     \
  X(256, 128, 129, 130, 131, 132, D64("+f", 0), D64("+f", 64))

#define WIDTHS_OF_EIGHT_BITS(X, C)                   \
  X(80, 40, 41, D32(C, 0), D8(C, 32))                \
  X(128, 64, 65, D64(C, 0))                          \
  X(160, 80, 81, D64(C, 0), D16(C, 64))              \
  X(256, 128, 129, D64(C, 0), D64(C, 64))

#define VALUE_PRODUCT(T, TYPES, N, a, b, c, e, f, ...)                                                              \
  template <>                                                                                                       \
  struct Product<T, N> {                                                                                            \
    static __device__ __forceinline__ void multiply(float (&d)[N / 2], uint64_t x, uint64_t y) {                    \
      asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16." TYPES " {" LIST##N "}, %" #a ", %" #b              \
                   ", 1, 1, 1, 0, 0;"                                                                               \
                   : __VA_ARGS__                                                                                    \
                   : "l"(x), "l"(y));                                                                               \
    }                                                                                                               \
    static __device__ __forceinline__ void multiply_scaled(float (&d)[N / 2], uint64_t x, uint64_t y, int keep) {   \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #c ", 0;\n"                                                 \
                   "wgmma.mma_async.sync.aligned.m64n" #N "k16." TYPES " {" LIST##N "}, %" #a ", %" #b              \
                   ", p, 1, 1, 0, 0;\n}"                                                                            \
                   : __VA_ARGS__                                                                                    \
                   : "l"(x), "l"(y), "r"(keep));                                                                    \
    }                                                                                                               \
    static __device__ __forceinline__ void multiply_registers(float (&d)[N / 2], const uint32_t *x, uint64_t y) {   \
      asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16." TYPES " {" LIST##N "}, {%" #a ",%" #b ",%" #c      \
                   ",%" #e "}, %" #f ", 1, 1, 1, 1;"                                                                \
                   : __VA_ARGS__                                                                                    \
                   : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "l"(y));                                           \
    }                                                                                                               \
  };

// SCALES: the signs that instructions on floats want besides.
#define EIGHT_BIT_PRODUCT(T, SUM, TYPES, SCALES, N, a, b, ...)                                                      \
  template <>                                                                                                       \
  struct Product<T, N> {                                                                                            \
    static __device__ __forceinline__ void multiply(SUM (&d)[N / 2], uint64_t x, uint64_t y) {                      \
      asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k32." TYPES " {" LIST##N "}, %" #a ", %" #b ", 1" SCALES \
                   ";"                                                                                              \
                   : __VA_ARGS__                                                                                    \
                   : "l"(x), "l"(y));                                                                               \
    }                                                                                                               \
  };

#define HALF_PRODUCT(...) VALUE_PRODUCT(__half, "f32.f16.f16", __VA_ARGS__)
#define BFLOAT_PRODUCT(...) VALUE_PRODUCT(__nv_bfloat16, "f32.bf16.bf16", __VA_ARGS__)
#define INT8_PRODUCT(...) EIGHT_BIT_PRODUCT(int8_t, int32_t, "s32.s8.s8", "", __VA_ARGS__)
#define FP8_PRODUCT(...) EIGHT_BIT_PRODUCT(__nv_fp8_e4m3, float, "f32.e4m3.e4m3", ", 1, 1", __VA_ARGS__)
WIDTHS_OF_VALUES(HALF_PRODUCT)
WIDTHS_OF_VALUES(BFLOAT_PRODUCT)
WIDTHS_OF_EIGHT_BITS(INT8_PRODUCT, "+r")
WIDTHS_OF_EIGHT_BITS(FP8_PRODUCT, "+f")

}  // namespace calotype
