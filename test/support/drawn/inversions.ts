/** @file The cases of test/fixtures/text/inversions.json: learned words in prompts; what is compared are embeddings. */
import * as v from 'valibot';
import { DiffusionPipeline } from '../../../src/index.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../fixtures.ts';
import { placed, type DrawnCases } from './drawn-cases.ts';

/** By model: files with their words, and prompts that use them. */
export const inversions = readFixtureJson(
  'text/inversions.json',
  v.record(
    v.string(),
    v.strictObject({
      words: v.array(v.tuple([v.string(), v.nullable(v.union([v.string(), v.array(v.string())]))])),
      prompts: v.array(v.string()),
      ids: v.array(v.array(v.number())),
    }),
  ),
);
const tensors = await openTensorFixture('text/inversions.safetensors');

/** The path of a file of learned words. */
export const inversionFile = (name: string): string => fixturePath(`text/inversions/${name}.safetensors`);

/** `MODEL.PROMPT`, a number, and `MODEL.PROMPT.pooled` */
export const inversionCases: DrawnCases = {
  names: Object.entries(inversions).flatMap(([model, { prompts }]) =>
    prompts.flatMap((_, i) => [`${model}.${i}`, ...(model === 'tiny-sdxl' ? [`${model}.${i}.pooled`] : [])]),
  ),
  expected(name) {
    const stored = name.endsWith('.pooled') ? name : `${name}.prompt_embeds`;
    return { shape: tensors.shape(stored), data: tensors.f32(stored) };
  },
  async open(name, setup) {
    const model = name.split('.')[0];
    const pipe = await DiffusionPipeline.fromPretrained(fixturePath(`pipelines/${model}`), placed(setup));
    // The table of words is on the device by then, and has to grow.
    await pipe.encodePrompt({ prompt: 'fox' });
    for (const [file, token] of inversions[model].words)
      await pipe.loadTextualInversion(inversionFile(file), token === null ? {} : { token });
    return pipe;
  },
  async draw(pipe, name) {
    const [model, i, pooled] = name.split('.');
    const prompt = inversions[model].prompts[Number(i)];
    const embeddings = await pipe.encodePrompt({ prompt, doClassifierFreeGuidance: false });
    const { data } = pooled === undefined ? embeddings.promptEmbeds : embeddings.pooledPromptEmbeds!;
    const { shape } = inversionCases.expected(name);
    // Some fixtures hold an embedding's first tokens only.
    return {
      shape,
      data: data.subarray(
        0,
        shape.reduce((a, b) => a * b, 1),
      ),
    };
  },
};
