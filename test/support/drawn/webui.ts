/** @file The cases of test/fixtures/text/webui.json: prompts in sd-webui's syntax. */
import * as v from 'valibot';
import { DiffusionPipeline } from '../../../src/index.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../fixtures.ts';
import { drawTensor, placed, type DrawnCases } from './drawn-cases.ts';

const text = v.exactOptional(v.string());

/** The prompts, by case. */
export const webuiPrompts = readFixtureJson(
  'text/webui.json',
  v.record(
    v.string(),
    v.strictObject({ model: v.string(), prompt: v.string(), prompt2: text, negativePrompt: text }),
  ),
);

/** CASE.latents, and for some CASE.prompt_embeds and CASE.negative_prompt_embeds. */
export const webuiTensors = await openTensorFixture('text/webui.safetensors');

/** What all cases draw. */
export const WEBUI_CALL = { height: 64, width: 64, numInferenceSteps: 4, guidanceScale: 5, seed: 3 } as const;

/** A case's prompts as options. A missing negative prompt is an empty one for SD; for SDXL no case leaves it out. */
export function webuiOptions(name: string) {
  const { model: _model, ...texts } = webuiPrompts[name];
  return { ...texts, promptSyntax: 'webui' } as const;
}

export const webuiCases: DrawnCases = {
  names: Object.keys(webuiPrompts),
  expected: (name) => ({
    shape: webuiTensors.shape(`${name}.latents`),
    data: webuiTensors.f32(`${name}.latents`),
  }),
  open: async (name, setup) =>
    DiffusionPipeline.fromPretrained(fixturePath(`pipelines/${webuiPrompts[name].model}`), placed(setup)),
  draw: async (pipe, name) => drawTensor(pipe, { ...WEBUI_CALL, ...webuiOptions(name) }),
};
