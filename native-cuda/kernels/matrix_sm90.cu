/** @file Which tile of matrix_sm90.h a problem gets. */
#include "matrix_sm90.h"

#include <algorithm>

#include "matrix_sm90.cuh"

namespace calotype {

#define EXTERN(FORMAT, ...) \
  extern template int launch_matrix<Tile<__VA_ARGS__>, FORMAT>(const MatrixProblem &, cudaStream_t);
#define EXTERN_VALUES(...) EXTERN(Plain<__half>, __VA_ARGS__) EXTERN(Plain<__nv_bfloat16>, __VA_ARGS__)
#define EXTERN_EIGHT_BITS(...)                                             \
  EXTERN(Int8<__half>, __VA_ARGS__) EXTERN(Int8<__nv_bfloat16>, __VA_ARGS__) \
  EXTERN(Fp8<__half>, __VA_ARGS__) EXTERN(Fp8<__nv_bfloat16>, __VA_ARGS__)
CALOTYPE_TILES_PLAIN(EXTERN_VALUES)
CALOTYPE_TILES_CLUSTER(EXTERN_VALUES)
CALOTYPE_TILES_SPLIT(EXTERN_VALUES)
CALOTYPE_TILES_EIGHT_BITS(EXTERN_EIGHT_BITS)

namespace {

struct TileChoice {
  int rows, columns, groups, clusterM, clusterN, split, resident;
  bool takesTurns;
  int (*launch)(const MatrixProblem &, cudaStream_t);
};

template <class F, class T>
constexpr TileChoice choice() {
  return {T::BM,    T::BN,       T::Groups,     T::ClusterM,        T::ClusterN,
          T::Split, T::Resident, T::TakesTurns, launch_matrix<T, F>};
}

/** The tiles of a format, in the order of a call's `config`. */
template <class F>
constexpr TileChoice kTiles[] = {
#define CHOICE(...) choice<F, Tile<__VA_ARGS__>>(),
    CALOTYPE_TILES_PLAIN(CHOICE) CALOTYPE_TILES_CLUSTER(CHOICE) CALOTYPE_TILES_SPLIT(CHOICE)};
template <class F>
constexpr TileChoice kTilesOfEightBits[] = {CALOTYPE_TILES_EIGHT_BITS(CHOICE)};

constexpr int kTileCount = sizeof(kTiles<Plain<__half>>) / sizeof(TileChoice);
constexpr int kTileCountOfEightBits = sizeof(kTilesOfEightBits<Int8<__half>>) / sizeof(TileChoice);

const TileChoice *tiles_of(const MatrixProblem &p) {
  const bool isHalf = p.element == CALOTYPE_F16;
  if (p.operands == CALOTYPE_INT8) return isHalf ? kTilesOfEightBits<Int8<__half>> : kTilesOfEightBits<Int8<__nv_bfloat16>>;
  if (p.operands == CALOTYPE_FP8) return isHalf ? kTilesOfEightBits<Fp8<__half>> : kTilesOfEightBits<Fp8<__nv_bfloat16>>;
  return isHalf ? kTiles<Plain<__half>> : kTiles<Plain<__nv_bfloat16>>;
}

/**
 * Cycles that a problem is expected to take beyond a launch: a model of what a multiprocessor is short of, whose
 * constants were fitted to measured times.
 */
double expected_cycles(const TileChoice &t, const MatrixProblem &p) {
  // A stage takes as long as its products, as its traffic in shared memory (operands read, tiles written), or as its
  // way from the cache, whichever is longest.
  const double products = 1.23 * t.rows * t.columns / 32;
  const double shared = 1.32 * (t.rows / 64 * 4 * (2048 + 32 * t.columns) / 128 + 0.85 * (t.rows + t.columns));
  const double bytes = (t.rows / t.clusterN + t.columns / t.clusterM) * kRowBytes;

  const int clusterBlocks = t.clusterM * t.clusterN * t.split, processors = multiprocessors();
  const int clusters = ceil_div(ceil_div(p.m, t.rows), t.clusterM) * ceil_div(ceil_div(p.n, t.columns), t.clusterN) *
                       p.phases;
  // Larger clusters find no place on some multiprocessors.
  const int places = (clusterBlocks <= 2 ? processors : processors * 10 / 11) * t.resident / clusterBlocks;
  const int rounds = ceil_div(clusters, std::max(1, places));
  const double busy = std::min(1.0, double(clusters) * clusterBlocks / processors);
  const double stage = std::max({products, shared, bytes * busy / 78});

  const int channels = p.operands == CALOTYPE_VALUES ? kDepth<Plain<__half>> : kDepth<Int8<__half>>;
  const int stages = p.taps() * (ceil_div(p.channels, channels) + ceil_div(p.channels2, channels));
  const double sums = stage * stages / t.split, area = double(t.rows) * t.columns;
  const double finish = 630 + (t.split > 1 ? 1015 + 0.084 * area : 0.14 * area / t.groups);
  if (t.takesTurns) return rounds * sums * 0.96 + finish * 3.05;
  if (t.resident > 1 && clusters * clusterBlocks > processors) return rounds * (2.05 * sums + 1.86 * finish);
  return rounds * (sums + finish);
}

}  // namespace

int matrix_sm90_configs(int operands) { return operands == CALOTYPE_VALUES ? kTileCount : kTileCountOfEightBits; }

int matrix_sm90_choice(const MatrixProblem &problem) {
  const TileChoice *tiles = tiles_of(problem);
  // Tiles that neither take turns nor split their depth by themselves can share it; for few and small ones this is the best.
  if (problem.parts > 1) return 0;
  const bool isGeglu = problem.activation == CALOTYPE_GEGLU;
  int best = 0;
  double bestCycles = 0;
  for (int i = 0; i < matrix_sm90_configs(problem.operands); i++) {
    if (isGeglu && tiles[i].split > 1) continue;
    const double cycles = expected_cycles(tiles[i], problem);
    if (i && cycles >= bestCycles) continue;
    best = i;
    bestCycles = cycles;
  }
  return best;
}

int matrix_sm90(const MatrixProblem &problem, int config, cudaStream_t stream) {
  return tiles_of(problem)[config].launch(problem, stream);
}

}  // namespace calotype
