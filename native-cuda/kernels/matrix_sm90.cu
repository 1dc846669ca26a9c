/** @file Which tile of matrix_sm90.h a problem gets. */
#include "matrix_sm90.h"

#include <algorithm>

#include "matrix_sm90.cuh"
#include "measured_sm90.h"

namespace calotype {

#define EXTERN(...) extern template int launch_matrix<Tile<__VA_ARGS__>>(const MatrixProblem &, cudaStream_t);
CALOTYPE_TILES_PLAIN(EXTERN)
CALOTYPE_TILES_CLUSTER(EXTERN)
CALOTYPE_TILES_SPLIT(EXTERN)

namespace {

struct TileChoice {
  int rows, columns, groups, clusterM, clusterN, split, resident;
  bool takesTurns;
  int (*launch)(const MatrixProblem &, cudaStream_t);
};

template <class T>
constexpr TileChoice choice() {
  return {T::BM,    T::BN,       T::Groups,     T::ClusterM,     T::ClusterN,
          T::Split, T::Resident, T::TakesTurns, launch_matrix<T>};
}

constexpr TileChoice kTiles[] = {
#define CHOICE(...) choice<Tile<__VA_ARGS__>>(),
    CALOTYPE_TILES_PLAIN(CHOICE) CALOTYPE_TILES_CLUSTER(CHOICE) CALOTYPE_TILES_SPLIT(CHOICE)};
constexpr int kTileCount = sizeof(kTiles) / sizeof(kTiles[0]);

/** A shape whose tiles have all been timed. */
struct Measured {
  int m, n, depth, taps, phases, config;
};

constexpr Measured kMeasured[] = {
#define MEASURED(...) {__VA_ARGS__},
    CALOTYPE_MEASURED(MEASURED)};

/**
 * Cycles that a problem is expected to take beyond a launch: a model of what a multiprocessor is short of, whose
 * constants were fitted to the times behind kMeasured. Its choices there take 4 % longer than the best on average.
 */
double expected_cycles(const TileChoice &t, const MatrixProblem &p) {
  // A stage takes as long as its products, as its traffic in shared memory (operands read, tiles written), or as its
  // way from the cache, whichever is longest.
  const double products = 1.23 * t.rows * t.columns / 32;
  const double shared = 1.32 * (t.rows / 64 * 4 * (2048 + 32 * t.columns) / 128 + 0.85 * (t.rows + t.columns));
  const double bytes = (t.rows / t.clusterN + t.columns / t.clusterM) * kDepth * 2;

  const int clusterBlocks = t.clusterM * t.clusterN * t.split, processors = multiprocessors();
  const int clusters = ceil_div(ceil_div(p.m, t.rows), t.clusterM) * ceil_div(ceil_div(p.n, t.columns), t.clusterN) *
                       p.phases;
  // Larger clusters find no place on some multiprocessors.
  const int places = (clusterBlocks <= 2 ? processors : processors * 10 / 11) * t.resident / clusterBlocks;
  const int rounds = ceil_div(clusters, std::max(1, places));
  const double busy = std::min(1.0, double(clusters) * clusterBlocks / processors);
  const double stage = std::max({products, shared, bytes * busy / 78});

  const int stages = p.taps() * (ceil_div(p.channels, kDepth) + ceil_div(p.channels2, kDepth));
  const double sums = stage * stages / t.split, area = double(t.rows) * t.columns;
  const double finish = 630 + (t.split > 1 ? 1015 + 0.084 * area : 0.23 * area / t.groups);
  if (t.takesTurns) return rounds * sums * 0.96 + finish * 3.05;
  if (t.resident > 1 && clusters * clusterBlocks > processors) return rounds * (2.05 * sums + 1.86 * finish);
  return rounds * (sums + finish);
}

}  // namespace

int matrix_sm90_configs() { return kTileCount; }

int matrix_sm90_choice(const MatrixProblem &problem) {
  for (const Measured &known : kMeasured)
    if (known.m == problem.m && known.n == problem.n && known.depth == problem.depth() &&
        known.taps == problem.taps() && known.phases == problem.phases &&
        !(problem.activation == CALOTYPE_GEGLU && kTiles[known.config].split > 1))
      return known.config;
  int best = 0;
  double bestCycles = 0;
  for (int i = 0; i < kTileCount; i++) {
    if (problem.activation == CALOTYPE_GEGLU && kTiles[i].split > 1) continue;
    const double cycles = expected_cycles(kTiles[i], problem);
    if (i && cycles >= bestCycles) continue;
    best = i;
    bestCycles = cycles;
  }
  return best;
}

int matrix_sm90(const MatrixProblem &problem, int config, cudaStream_t stream) {
  return kTiles[config].launch(problem, stream);
}

}  // namespace calotype
