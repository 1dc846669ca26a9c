/** @file This runtime: how it finds models, and which backends it tries where none are named. */

import { cpu } from '../backends/cpu/cpu.ts';
import { webgpu } from '../backends/webgpu/webgpu.ts';
import type { Platform } from '../pipelines/load/from-pretrained.ts';
import { modelFiles } from './model-files.ts';

/** WebGPU on hardware, else the CPU. */
export const platform: Platform = { ...modelFiles, defaultBackends: () => [webgpu(), cpu()] };
