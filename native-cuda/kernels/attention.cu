/** @file calotype_attention: which tile of attention_sm90.h a shape gets. */
#include "attention.h"

#include "attention_sm80.h"
#include "attention_sm90.cuh"
#include "attention_sm90.h"
#include "lib/element.cuh"

namespace calotype {

#define EXTERN(...)                                                                                                     \
  extern template int launch_attention<AttentionTile<__VA_ARGS__>, __half>(const CalotypeAttentionArgs &, cudaStream_t); \
  extern template int launch_attention<AttentionTile<__VA_ARGS__>, __nv_bfloat16>(const CalotypeAttentionArgs &, cudaStream_t);
CALOTYPE_ATTENTION_NARROW(EXTERN)
CALOTYPE_ATTENTION_MIDDLE(EXTERN)
CALOTYPE_ATTENTION_BROAD(EXTERN)

namespace {

constexpr int kConfigs = 2;
constexpr int kWidest = 512;

struct Choice {
  int width;
  int (*launch)(const CalotypeAttentionArgs &, cudaStream_t);
};

template <class E>
constexpr Choice kChoices[] = {
#define CHOICE(width, ...) {width, launch_attention<AttentionTile<width, __VA_ARGS__>, E>},
    CALOTYPE_ATTENTION_NARROW(CHOICE) CALOTYPE_ATTENTION_MIDDLE(CHOICE) CALOTYPE_ATTENTION_BROAD(CHOICE)};

/**
 * Measured: few keys or few queries want many small blocks, and so do narrow heads whose last round of large blocks
 * would leave many multiprocessors idle; else the large blocks, whose two groups take turns.
 */
int best_config(const CalotypeAttentionArgs &a) {
  const int64_t blocks = int64_t(a.batch) * a.heads * ceil_div(a.queries, 128);
  const int places = multiprocessors(), rounds = int((blocks + places - 1) / places);
  if (a.keys <= 160 || blocks * 2 <= places) return 1;
  return a.headDim <= 64 && blocks < 0.85 * rounds * places ? 1 : 0;
}

template <class E>
int launch_hopper(const CalotypeAttentionArgs &a, cudaStream_t stream) {
  const int config = a.config >= 0 ? a.config : best_config(a);
  int skip = a.headDim > 160 ? 0 : config;
  for (const Choice &choice : kChoices<E>)
    if (choice.width >= a.headDim && skip-- == 0) return choice.launch(a, stream);
  return CALOTYPE_UNSUPPORTED;
}

}  // namespace
}  // namespace calotype

using namespace calotype;

extern "C" int calotype_attention(const CalotypeAttentionArgs *args, cudaStream_t stream) {
  const CalotypeAttentionArgs &a = *args;
  if (a.batch < 1 || a.heads < 1 || a.headDim < 1 || a.queries < 1 || a.keys < 1 || a.config >= kConfigs)
    return CALOTYPE_INVALID;
  if (a.headDim % 8 || a.headDim > kWidest || a.qStride % 8 || a.kStride % 8 || a.vStride % 8) return CALOTYPE_UNSUPPORTED;
  if (!is_hopper()) return attention_sm80(a, stream);
  return by_narrow_type(a.element, [&](auto zero) { return launch_hopper<decltype(zero)>(a, stream); });
}
