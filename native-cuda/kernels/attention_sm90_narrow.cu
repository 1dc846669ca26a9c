/** @file Instances of attention_sm90.cuh; several files, so that they compile side by side. */
#include "attention_sm90.cuh"
#include "attention_sm90.h"

namespace calotype {

#define INSTANCE(...)                                                                                                  \
  template int launch_attention<AttentionTile<__VA_ARGS__>, __half>(const CalotypeAttentionArgs &, cudaStream_t); \
  template int launch_attention<AttentionTile<__VA_ARGS__>, __nv_bfloat16>(const CalotypeAttentionArgs &, cudaStream_t);
CALOTYPE_ATTENTION_NARROW(INSTANCE)

}  // namespace calotype
