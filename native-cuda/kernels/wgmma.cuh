/** @file Hopper's matrix instruction: a warp group of 128 threads multiplies [64, 16] by [16, N] f16 into f32. */
#pragma once
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

/**
 * multiply: d += a b^T, both in shared memory with rows along K. multiply_scaled: the same with d taken as 0 if
 * `keep` is 0. multiply_registers: d += a b, a in registers as accumulators are laid out, b in rows along N.
 */
template <int N>
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
#define D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define D8(i) D4(i), D4(i + 4)
#define D16(i) D8(i), D8(i + 8)
#define D32(i) D16(i), D16(i + 16)
#define D64(i) D32(i), D32(i + 32)
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

// a, b, c, e, f: the numbers of the operands after the accumulators.
#define CALOTYPE_PRODUCT(N, a, b, c, e, f, ...)                                                                     \
  template <>                                                                                                       \
  struct Product<N> {                                                                                               \
    static __device__ __forceinline__ void multiply(float (&d)[N / 2], uint64_t x, uint64_t y) {                    \
      asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.f16.f16 {" LIST##N "}, %" #a ", %" #b            \
                   ", 1, 1, 1, 0, 0;"                                                                               \
                   : __VA_ARGS__                                                                                    \
                   : "l"(x), "l"(y));                                                                               \
    }                                                                                                               \
    static __device__ __forceinline__ void multiply_scaled(float (&d)[N / 2], uint64_t x, uint64_t y, int keep) {   \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #c ", 0;\n"                                                 \
                   "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.f16.f16 {" LIST##N "}, %" #a ", %" #b            \
                   ", p, 1, 1, 0, 0;\n}"                                                                            \
                   : __VA_ARGS__                                                                                    \
                   : "l"(x), "l"(y), "r"(keep));                                                                    \
    }                                                                                                               \
    static __device__ __forceinline__ void multiply_registers(float (&d)[N / 2], const uint32_t *x, uint64_t y) {   \
      asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.f16.f16 {" LIST##N "}, {%" #a ",%" #b ",%" #c    \
                   ",%" #e "}, %" #f ", 1, 1, 1, 1;"                                                                \
                   : __VA_ARGS__                                                                                    \
                   : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "l"(y));                                           \
    }                                                                                                               \
  };

CALOTYPE_PRODUCT(16, 8, 9, 10, 11, 12, D8(0))
CALOTYPE_PRODUCT(32, 16, 17, 18, 19, 20, D16(0))
CALOTYPE_PRODUCT(40, 20, 21, 22, 23, 24, D16(0), D4(16))
CALOTYPE_PRODUCT(48, 24, 25, 26, 27, 28, D16(0), D8(16))
CALOTYPE_PRODUCT(64, 32, 33, 34, 35, 36, D32(0))
CALOTYPE_PRODUCT(72, 36, 37, 38, 39, 40, D32(0), D4(32))
CALOTYPE_PRODUCT(80, 40, 41, 42, 43, 44, D32(0), D8(32))
CALOTYPE_PRODUCT(96, 48, 49, 50, 51, 52, D32(0), D16(32))
CALOTYPE_PRODUCT(128, 64, 65, 66, 67, 68, D64(0))
CALOTYPE_PRODUCT(160, 80, 81, 82, 83, 84, D64(0), D16(64))
CALOTYPE_PRODUCT(192, 96, 97, 98, 99, 100, D64(0), D32(64))
CALOTYPE_PRODUCT(256, 128, 129, 130, 131, 132, D64(0), D64(64))

#undef CALOTYPE_PRODUCT

}  // namespace calotype
