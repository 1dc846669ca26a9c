/** @file The tiles that matrix_sm90_*.cu instantiate, in the order of a call's `config`. */
#pragma once

// rows, columns, warp groups, stages, cluster rows, cluster columns, split of the depth, blocks a multiprocessor, turns
#define CALOTYPE_TILES_PLAIN(X)    \
  X(128, 160, 2, 5, 1, 1, 1, 1, 0) \
  X(128, 256, 2, 4, 1, 1, 1, 1, 0) \
  X(256, 128, 2, 4, 1, 1, 1, 1, 0) \
  X(256, 160, 2, 3, 1, 1, 1, 1, 0) \
  X(128, 128, 2, 3, 1, 1, 1, 2, 0) \
  X(128, 80, 2, 4, 1, 1, 1, 2, 0)  \
  X(64, 160, 1, 3, 1, 1, 1, 2, 0)  \
  X(256, 16, 2, 5, 1, 1, 1, 1, 0)  \
  X(128, 160, 1, 3, 1, 1, 1, 2, 0)

#define CALOTYPE_TILES_CLUSTER(X)  \
  X(128, 256, 2, 4, 2, 1, 1, 1, 0) \
  X(256, 160, 2, 3, 1, 2, 1, 1, 0) \
  X(128, 160, 2, 5, 1, 1, 1, 1, 1) \
  X(128, 128, 2, 6, 1, 1, 1, 1, 1) \
  X(128, 192, 2, 5, 1, 1, 1, 1, 1)

#define CALOTYPE_TILES_SPLIT(X)    \
  X(128, 160, 2, 5, 1, 1, 2, 1, 0) \
  X(128, 160, 1, 3, 1, 1, 2, 2, 0) \
  X(128, 128, 2, 3, 1, 1, 4, 2, 0) \
  X(128, 80, 2, 4, 1, 1, 2, 2, 0)  \
  X(128, 80, 2, 4, 1, 1, 4, 2, 0)  \
  X(128, 80, 2, 4, 1, 1, 8, 2, 0)

// For operands of eight bits, whose stages hold twice the channels.
#define CALOTYPE_TILES_EIGHT_BITS(X) \
  X(128, 160, 2, 5, 1, 1, 1, 1, 0)   \
  X(128, 256, 2, 4, 1, 1, 1, 1, 0)   \
  X(256, 128, 2, 4, 1, 1, 1, 1, 0)   \
  X(256, 160, 2, 3, 1, 1, 1, 1, 0)   \
  X(128, 128, 2, 3, 1, 1, 1, 2, 0)   \
  X(128, 80, 2, 4, 1, 1, 1, 2, 0)    \
  X(128, 256, 2, 4, 2, 1, 1, 1, 0)   \
  X(256, 128, 2, 4, 1, 2, 1, 1, 0)   \
  X(128, 160, 2, 5, 1, 1, 1, 1, 1)   \
  X(128, 128, 2, 6, 1, 1, 1, 1, 1)
