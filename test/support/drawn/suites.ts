/** @file All cases that diffusers drew, by suite. */
import { controlCases } from './control.ts';
import type { DrawnCases } from './drawn-cases.ts';
import { guidanceCases } from './guidance.ts';
import { imageCases } from './images.ts';
import { inversionCases } from './inversions.ts';
import { loraCases } from './lora.ts';
import { modelCases } from './models.ts';
import { pixartCases } from './pixart.ts';
import { vaeUpcastCases } from './vae-upcast.ts';
import { webuiCases } from './webui.ts';

/** The file of a suite's tests is `pipelines/SUITE.test.ts`. */
export const DRAWN_SUITES = {
  images: imageCases,
  control: controlCases,
  guidance: guidanceCases,
  models: modelCases,
  pixart: pixartCases,
  lora: loraCases,
  webui: webuiCases,
  'textual-inversion': inversionCases,
  'vae-upcast': vaeUpcastCases,
} satisfies Readonly<Record<string, DrawnCases>>;
