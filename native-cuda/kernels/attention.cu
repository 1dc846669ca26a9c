/** @file calotype_attention: which tile of attention_sm90.h a shape gets. */
#include "attention.h"

#include "attention_sm80.h"
#include "attention_sm90.cuh"
#include "attention_sm90.h"

namespace calotype {

#define EXTERN(...) \
  extern template int launch_attention<AttentionTile<__VA_ARGS__>>(const CalotypeAttentionArgs &, cudaStream_t);
CALOTYPE_ATTENTION_NARROW(EXTERN)
CALOTYPE_ATTENTION_MIDDLE(EXTERN)
CALOTYPE_ATTENTION_BROAD(EXTERN)

namespace {

constexpr int kConfigs = 3;
constexpr int kWidest = 512;

struct Choice {
  int width;
  int (*launch)(const CalotypeAttentionArgs &, cudaStream_t);
};

constexpr Choice kChoices[] = {
#define CHOICE(width, ...) {width, launch_attention<AttentionTile<width, __VA_ARGS__>>},
    CALOTYPE_ATTENTION_NARROW(CHOICE) CALOTYPE_ATTENTION_MIDDLE(CHOICE) CALOTYPE_ATTENTION_BROAD(CHOICE)};

/** Few keys or few queries want many small blocks; otherwise the most queries a block that waste little. */
int best_config(const CalotypeAttentionArgs &a) {
  if (a.keys <= 160) return 2;
  const int64_t pairs = int64_t(a.batch) * a.heads;
  const auto rounds = [&](int queries) { return ceil_div(int(pairs * ceil_div(a.queries, queries)), multiprocessors()); };
  if (pairs * ceil_div(a.queries, 128) * 2 <= multiprocessors()) return 2;
  return rounds(192) * 3 < rounds(128) * 2 ? 1 : 0;
}

int launch_hopper(const CalotypeAttentionArgs &a, cudaStream_t stream) {
  const int config = a.config >= 0 ? a.config : best_config(a);
  int skip = a.headDim > 160 ? 0 : config;
  for (const Choice &choice : kChoices)
    if (choice.width >= a.headDim && skip-- == 0) return choice.launch(a, stream);
  return CALOTYPE_UNSUPPORTED;
}

}  // namespace
}  // namespace calotype

using namespace calotype;

extern "C" int calotype_attention_configs(void) { return kConfigs; }

extern "C" int calotype_attention(const CalotypeAttentionArgs *args, cudaStream_t stream) {
  const CalotypeAttentionArgs &a = *args;
  if (a.batch < 1 || a.heads < 1 || a.headDim < 1 || a.queries < 1 || a.keys < 1 || a.config >= kConfigs)
    return CALOTYPE_INVALID;
  if (a.headDim % 8 || a.headDim > kWidest || a.qStride % 8 || a.kStride % 8 || a.vStride % 8) return CALOTYPE_UNSUPPORTED;
  return is_hopper() ? launch_hopper(a, stream) : attention_sm80(a, stream);
}
