/**
 * @file The starter model's four reference pictures on any backend.
 *
 * CALOTYPE_BACKEND is `webgpu` (default; hardware if there is some, else software), `cuda`, `cpu` or
 * `reference`;
 * CALOTYPE_DTYPE is `f32` (default) or `f16`. Software adapters need some minutes a picture.
 */

import * as v from 'valibot';
import { cuda } from '../../native-cuda/src/cuda.ts';
import { cpu, reference, webgpu } from '../../src/index.ts';
import { compareStarterPictures } from '../support/starter-pictures.ts';

const BACKENDS = {
  webgpu: [webgpu({ adapter: 'hardware' }), webgpu({ adapter: 'software' })],
  cuda: [cuda()],
  cpu: [cpu()],
  reference: [reference()],
};
const name = v.parse(
  v.picklist(['webgpu', 'cuda', 'cpu', 'reference']),
  process.env['CALOTYPE_BACKEND'] ?? 'webgpu',
);
const dtype = v.parse(v.picklist(['f32', 'f16', 'bf16']), process.env['CALOTYPE_DTYPE'] ?? 'f32');

await compareStarterPictures(BACKENDS[name], dtype);
