#include "kernel-table.h"

#include "../kernels/attention-online.h"
#include "../kernels/attention.h"
#include "../kernels/attention_biased.h"
#include "../kernels/conv.h"
#include "../kernels/elementwise.h"
#include "../kernels/fourier_filter.h"
#include "../kernels/gemm-tiled.h"
#include "../kernels/gemm.h"
#include "../kernels/group_norm.h"
#include "../kernels/layer_norm.h"
#include "../kernels/norms.h"
#include "../kernels/pack.h"
#include "../kernels/product_f32.h"
#include "../kernels/quantize.h"
#include "../kernels/row_norms.h"
#include "../kernels/rows.h"
#include "../kernels/sampling.h"
#include "../kernels/softmax_rows.h"
#include "../kernels/weights.h"

namespace {

template <class Args, int (*launch)(const Args*, cudaStream_t)>
int launch_untyped(const void* args, cudaStream_t stream) {
  return launch(static_cast<const Args*>(args), stream);
}

}  // namespace

#define KERNEL(name, Args) {#name, sizeof(Args), launch_untyped<Args, calotype_##name>}

const KernelEntry KERNELS[] = {
    KERNEL(activate, ActivateArgs),
    KERNEL(ada_layer_norm, AdaLayerNormArgs),
    KERNEL(add, AddArgs),
    KERNEL(add_gated, AddGatedArgs),
    KERNEL(add_scaled, AddScaledArgs),
    KERNEL(add_vectors, AddVectorsArgs),
    KERNEL(affine, AffineArgs),
    KERNEL(attention, CalotypeAttentionArgs),
    KERNEL(attention_biased, CalotypeBiasedAttentionArgs),
    KERNEL(attention_online, AttentionOnlineArgs),
    KERNEL(conv, CalotypeConvArgs),
    KERNEL(convert_weight, ConvertWeightArgs),
    KERNEL(copy_channels, CopyChannelsArgs),
    KERNEL(embed_tokens, EmbedTokensArgs),
    KERNEL(fourier_filter, FourierFilterArgs),
    KERNEL(gather_rows, GatherRowsArgs),
    KERNEL(geglu, GegluArgs),
    KERNEL(gemm, CalotypeGemmArgs),
    KERNEL(gemm_tiled, GemmTiledArgs),
    KERNEL(group_norm, CalotypeGroupNormArgs),
    KERNEL(group_norm_apply, GroupNormApplyArgs),
    KERNEL(group_norm_moments, GroupNormMomentsArgs),
    KERNEL(group_norm_statistics, GroupNormStatisticsArgs),
    KERNEL(guidance, GuidanceArgs),
    KERNEL(guidance_factor, GuidanceFactorArgs),
    KERNEL(guided_step, GuidedStepArgs),
    KERNEL(layer_norm, CalotypeLayerNormArgs),
    KERNEL(layer_norm_rows, LayerNormRowsArgs),
    KERNEL(model_input, ModelInputArgs),
    KERNEL(multiply, MultiplyArgs),
    KERNEL(pack_conv_upsample, CalotypePackArgs),
    KERNEL(pack_f32, CalotypePackF32Args),
    KERNEL(pack_filters, PackFiltersArgs),
    KERNEL(pack_geglu, CalotypePackArgs),
    KERNEL(pad_channels, PadChannelsArgs),
    KERNEL(pool_mean, PoolMeanArgs),
    KERNEL(product_f32, CalotypeProductF32Args),
    KERNEL(quantize_rows, QuantizeRowsArgs),
    KERNEL(rms_norm, RmsNormArgs),
    KERNEL(softmax_rows, CalotypeSoftmaxRowsArgs),
    KERNEL(timestep_embedding, TimestepEmbeddingArgs),
    KERNEL(upsample_nearest, UpsampleNearestArgs),
};

const size_t KERNEL_COUNT = sizeof(KERNELS) / sizeof(KERNELS[0]);
