/** @file calotype_gemm and calotype_conv: arguments checked and made one problem, handed to this device's kernel. */
#include "matrix.h"

#include "conv.h"
#include "gemm.h"
#include "launch.h"
#include "matrix_sm80.h"

namespace calotype {
namespace {

int problem_of(const CalotypeGemmArgs &a, MatrixProblem *p) {
  if (a.m < 1 || a.n < 1 || a.k < 1 || (a.activation == CALOTYPE_GEGLU && (a.residual || a.n % 16)) ||
      a.parts < 1 || (a.parts > 1 && (!a.partials || !a.counters)))
    return CALOTYPE_INVALID;
  const bool isNarrow = a.operands != CALOTYPE_VALUES;
  if (isNarrow && (!a.xScales || !a.weightScales)) return CALOTYPE_INVALID;
  if (a.k % (isNarrow ? 16 : 8) || (isNarrow && a.n % 8)) return CALOTYPE_UNSUPPORTED;
  *p = {};
  p->x = a.x;
  p->weight = a.weight;
  p->bias = a.bias;
  p->residual = a.residual;
  p->out = a.out;
  p->rowScale = a.xScales;
  p->columnScale = a.weightScales;
  p->operands = a.operands;
  p->m = a.m;
  p->n = a.n;
  p->channels = a.k;
  p->kernelHeight = p->kernelWidth = p->phases = p->stride = p->batch = 1;
  p->activation = a.activation;
  p->element = a.element;
  p->flags = a.flags;
  p->config = a.config;
  p->parts = a.parts;
  p->partials = a.partials;
  p->counters = a.counters;
  p->partialBytes = a.partialBytes;
  return CALOTYPE_OK;
}

int problem_of(const CalotypeConvArgs &a, MatrixProblem *p) {
  const int scale = a.upsample ? 2 : 1;
  const int outHeight = (a.height * scale + a.padTop + a.padBottom - a.kernelHeight) / a.stride + 1;
  const int outWidth = (a.width * scale + a.padLeft + a.padRight - a.kernelWidth) / a.stride + 1;
  if (a.batch < 1 || outHeight < 1 || outWidth < 1 || a.channels < 1 || a.outChannels < 1 || a.stride < 1 ||
      a.activation == CALOTYPE_GEGLU || (a.channels2 > 0) != (a.x2 != nullptr) || a.parts < 1 ||
      (a.parts > 1 && (!a.partials || !a.counters)))
    return CALOTYPE_INVALID;
  if (a.channels % 8 || a.channels2 % 8 || a.stride > 8) return CALOTYPE_UNSUPPORTED;
  *p = {};
  p->x = a.x;
  p->x2 = a.x2;
  p->weight = a.weight;
  p->bias = a.bias;
  p->rows = a.rows;
  p->rowIndex = a.rowIndex;
  p->residual = a.residual;
  p->out = a.out;
  p->n = a.outChannels;
  p->channels = a.channels;
  p->channels2 = a.channels2;
  p->kernelHeight = a.kernelHeight;
  p->kernelWidth = a.kernelWidth;
  p->batch = a.batch;
  p->height = a.height;
  p->width = a.width;
  p->outHeight = outHeight;
  p->outWidth = outWidth;
  p->stride = a.stride;
  p->padTop = a.padTop;
  p->padLeft = a.padLeft;
  p->padBottom = a.padBottom;
  p->padRight = a.padRight;
  p->activation = a.activation;
  p->element = a.element;
  p->flags = a.flags;
  p->config = a.config;
  p->parts = a.parts;
  p->partials = a.partials;
  p->counters = a.counters;
  p->partialBytes = a.partialBytes;
  p->phases = 1;
  p->m = a.batch * outHeight * outWidth;
  if (a.upsample) {
    const bool isSupported = a.kernelHeight == 3 && a.kernelWidth == 3 && a.stride == 1 && a.padTop == 1 &&
                             a.padLeft == 1 && a.padBottom == 1 && a.padRight == 1 && !a.x2;
    if (!isSupported) return CALOTYPE_UNSUPPORTED;
    p->phases = 4;
    p->kernelHeight = p->kernelWidth = 2;
    p->m = a.batch * a.height * a.width;
  }
  // A pointwise convolution is a matrix product, and plain boxes are quicker to copy than columns of pixels.
  p->isConvolution = p->taps() > 1 || p->stride > 1 || a.padTop || a.padLeft || a.padBottom || a.padRight;
  return CALOTYPE_OK;
}

int run(const MatrixProblem &p, cudaStream_t stream) {
  const bool hopper = is_hopper();
  if (hopper ? p.flags & CALOTYPE_HALF_SUMS : p.parts > 1) return CALOTYPE_UNSUPPORTED;
  const int config = p.config >= 0 ? p.config : hopper ? matrix_sm90_choice(p) : matrix_sm80_choice(p);
  if (config >= (hopper ? matrix_sm90_configs(p.operands) : matrix_sm80_configs())) return CALOTYPE_INVALID;
  return hopper ? matrix_sm90(p, config, stream) : matrix_sm80(p, config, stream);
}

}  // namespace
}  // namespace calotype

using namespace calotype;

extern "C" int calotype_gemm(const CalotypeGemmArgs *args, cudaStream_t stream) {
  MatrixProblem p;
  const int status = problem_of(*args, &p);
  return status ? status : run(p, stream);
}

extern "C" int calotype_conv(const CalotypeConvArgs *args, cudaStream_t stream) {
  MatrixProblem p;
  const int status = problem_of(*args, &p);
  return status ? status : run(p, stream);
}
