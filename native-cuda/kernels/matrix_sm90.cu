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
  int rows, columns, stages, clusterM, clusterN, split, resident;
  int (*launch)(const MatrixProblem &, cudaStream_t);
};

template <class T>
constexpr TileChoice choice() {
  return {T::BM, T::BN, T::Stages, T::ClusterM, T::ClusterN, T::Split, T::Resident, launch_matrix<T>};
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

/** Cycles that a problem is expected to take; what the constants stand for is measured by bench.py. */
double expected_cycles(const TileChoice &t, const MatrixProblem &p) {
  constexpr double productsPerCycle = 2048, cacheBytesPerCycle = 34, startCycles = 1500, reduceBytesPerCycle = 24;
  const double steps =
      double(p.taps()) * (ceil_div(p.channels, kDepth) + ceil_div(p.channels2, kDepth)) / t.split;
  const double products = double(t.rows) * t.columns * kDepth / productsPerCycle;
  const double bytes = (double(t.rows) / t.clusterN + double(t.columns) / t.clusterM) * kDepth * 2;
  const int clusters = ceil_div(ceil_div(p.m, t.rows), t.clusterM) * ceil_div(ceil_div(p.n, t.columns), t.clusterN) *
                       p.phases;
  const int clusterBlocks = t.clusterM * t.clusterN * t.split;
  // Clusters of more than two blocks do not fill processing clusters of 18 multiprocessors.
  const int blocks = clusterBlocks > 2 ? multiprocessors() / 16 * 16 : multiprocessors();
  const double places = blocks / clusterBlocks * t.resident;
  const double waves = ceil_div(clusters, int(places));
  const double busy = clusters < places ? clusters * clusterBlocks / double(blocks * t.resident) : 1.0;
  const double step = std::max(products, bytes * std::min(1.0, busy) / cacheBytesPerCycle) * t.resident;
  const double epilogue = double(t.rows) * t.columns * 8 / 128 +
                          (t.split > 1 ? double(t.rows) * t.columns * 4 / reduceBytesPerCycle : 0);
  return startCycles + waves * (steps * step + epilogue + (t.resident > 1 ? 0 : 300));
}

}  // namespace

int matrix_sm90_configs() { return kTileCount; }

int matrix_sm90_choice(const MatrixProblem &problem) {
  for (const Measured &known : kMeasured)
    if (known.m == problem.m && known.n == problem.n && known.depth == problem.depth() &&
        known.taps == problem.taps() && known.phases == problem.phases)
      return known.config;
  int best = 0;
  double bestCycles = 0;
  for (int i = 0; i < kTileCount; i++) {
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
