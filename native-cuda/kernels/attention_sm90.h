/** @file The attention tiles that attention_sm90_*.cu instantiate; for each width a large one and a small one. */
#pragma once

// width, warp groups, keys a tile, stages, blocks a multiprocessor, groups that share queries, blocks that share copies
#define CALOTYPE_ATTENTION_NARROW(X)                         \
  X(40, 2, 128, 2, 1, 1, 2) X(40, 1, 80, 3, 3, 1, 2) \
  X(48, 2, 128, 2, 1, 1, 1) X(48, 1, 80, 2, 3, 1, 1) \
  X(64, 2, 128, 2, 1, 1, 1) X(64, 1, 80, 2, 3, 1, 1)

#define CALOTYPE_ATTENTION_MIDDLE(X)                        \
  X(72, 2, 128, 2, 1, 1, 1) X(72, 1, 80, 2, 2, 1, 1) \
  X(80, 2, 128, 2, 1, 1, 1) X(80, 1, 80, 2, 2, 1, 1) \
  X(96, 2, 96, 2, 1, 1, 1) X(96, 1, 80, 2, 2, 1, 1)

#define CALOTYPE_ATTENTION_BROAD(X)                           \
  X(128, 2, 96, 2, 1, 1, 1) X(128, 1, 80, 2, 2, 1, 1) \
  X(160, 2, 80, 2, 1, 1, 1) X(160, 1, 80, 1, 2, 1, 1) \
  X(512, 2, 32, 2, 1, 2, 1)
