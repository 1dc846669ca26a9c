/** @file What pipelines with an AutoencoderTiny need. */

export { parseAutoencoderTinyConfig } from '../../loaders/configs/autoencoder-tiny.ts';
export { buildAutoencoderTinyDecoder, buildAutoencoderTinyEncoder } from '../../models/autoencoder-tiny.ts';
