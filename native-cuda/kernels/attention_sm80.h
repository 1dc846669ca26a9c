/** @file Attention for cards without wgmma. */
#pragma once
#include "attention.h"

namespace calotype {

int attention_sm80(const CalotypeAttentionArgs &args, cudaStream_t stream);

}  // namespace calotype
