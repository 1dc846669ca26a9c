/** @file Prompts in sd-webui's syntax, whole runs: against embeddings and latents that were made without a parser. */

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  DiffusionPipeline,
  OptionError,
  reference,
  type Backend,
  type CallOptions,
} from '../../src/index.ts';
import { fixturePath } from '../support/fixtures.ts';
import { WEBUI_CALL, webuiCases, webuiOptions, webuiPrompts, webuiTensors } from '../support/drawn/webui.ts';
import { presentBackends } from '../support/backends.ts';
import '../support/nmse.ts';

const backends = await presentBackends();
const small = { ...WEBUI_CALL, outputType: 'latent' } as const;

/** Compiling takes the software adapter half a minute a model; one case shows what could differ there. */
function isRunOn(backend: string, name: string): boolean {
  return backend !== 'webgpu' || name === 'scheduled';
}

describe.each(backends)('on $name', ({ name: backend, factory }) => {
  const pipes = new Map<string, DiffusionPipeline>();
  beforeAll(async () => {
    for (const [name, { model }] of Object.entries(webuiPrompts))
      if (!pipes.has(model)) pipes.set(model, await webuiCases.open(name, { factory, dtype: 'f32' }));
  });
  afterAll(async () => {
    for (const pipe of pipes.values()) await pipe.dispose();
  });

  it.each(webuiCases.names.filter((name) => isRunOn(backend, name)))(
    'draws "%s"',
    async (name) => {
      const pipe = pipes.get(webuiPrompts[name].model)!;
      const { data } = await webuiCases.draw(pipe, name);
      expect(data).toMatchNmse(webuiCases.expected(name).data, 1e-6);
      if (!webuiTensors.names.includes(`${name}.prompt_embeds`)) return;
      const embeddings = await pipe.encodePrompt(webuiOptions(name));
      expect(embeddings.promptEmbeds.shape).toEqual(webuiTensors.shape(`${name}.prompt_embeds`));
      expect(embeddings.promptEmbeds.data).toMatchNmse(webuiTensors.f32(`${name}.prompt_embeds`), 1e-9);
      const negative = webuiTensors.f32(`${name}.negative_prompt_embeds`);
      expect(embeddings.negativePromptEmbeds!.data).toMatchNmse(negative, 1e-9);
      const again = await pipe({ ...small, ...embeddings });
      expect(again.latents!.data).toEqual(data);
    },
    240_000,
  );
});

describe('webui syntax', () => {
  let backend: Backend;
  let pipe: DiffusionPipeline;
  beforeAll(async () => {
    const opened = await reference().open();
    if ('reason' in opened) throw new Error(opened.reason);
    backend = opened;
    pipe = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), {
      backends: [{ name: 'spied', open: () => Promise.resolve(backend) }],
    });
  });
  afterAll(() => pipe.dispose());
  const draw = (options: CallOptions) => pipe({ ...small, promptSyntax: 'webui', ...options });

  it('records nothing when a prompt changes on the way, and runs the prompt program only then', async () => {
    await draw({ prompt: 'fox' });
    const compile = vi.spyOn(backend, 'compile');
    const { latents } = await draw({ prompt: 'a [fox:rocket:2] [blue|red]' });
    expect(compile).not.toHaveBeenCalled();
    expect(latents!.data).not.toEqual((await draw({ prompt: 'a fox blue' })).latents!.data);
    expect((await draw({ prompt: '[fox:rocket:9]' })).latents!.data).toEqual(
      (await draw({ prompt: 'fox' })).latents!.data,
    );
  });

  it('counts steps, not calls of the network, where a scheduler makes two of them a step', async () => {
    const { HeunDiscreteScheduler } = await import('../../src/index.ts');
    const own = pipe.scheduler;
    pipe.scheduler = HeunDiscreteScheduler.fromConfig(own.config);
    const step = async (prompt: string): Promise<Float32Array[]> => {
      const seen: Float32Array[] = [];
      for await (const { latents } of pipe.stream({ ...small, promptSyntax: 'webui', prompt }))
        seen.push((await latents()).data);
      return seen;
    };
    const [edited, before] = [await step('[fox:rocket:2]'), await step('fox')];
    pipe.scheduler = own;
    expect(edited).toHaveLength(7);
    expect(edited.slice(0, 4)).toEqual(before.slice(0, 4));
    expect(edited[4]).not.toEqual(before[4]);
  });

  it('is the same as plain syntax for plain text', async () => {
    const prompt = 'a red fox, 3D';
    const plain = await pipe({ ...small, prompt });
    expect((await draw({ prompt })).latents!.data).toEqual(plain.latents!.data);
    expect(plain.truncatedPrompts).toEqual([]);
    expect((await pipe({ ...small, prompt: '(fox) '.repeat(90) })).truncatedPrompts).toHaveLength(1);
  });

  it.each<[string, object, RegExp]>([
    ['prompt', { prompt: 'a AND b' }, /AND/],
    ['prompt', { prompt: '(a:1.2.3)' }, /not a weight/],
    ['prompt', { prompt: '<hypernet:x:1>' }, /not supported/],
    ['prompt', { prompt: '('.repeat(101) }, /over 100 brackets/],
    ['prompt', { prompt: 'x'.repeat(70_000) }, /70000 characters/],
    ['negativePrompt', { prompt: 'a', negativePrompt: '[[(b:.)' }, /not a weight/],
    ['negativePrompt', { prompt: 'a', negativePrompt: '<lora:x:1>' }, /Write it into prompt/],
    ['promptSyntax', { prompt: 'a', promptSyntax: 'a1111' }, /'plain' or 'webui'/],
    ['promptEmbeds', { promptEmbeds: { shape: [1, 80, 24], data: new Float32Array(80 * 24) } }, /80 tokens/],
    ['promptEmbeds', { promptEmbeds: { shape: [1, 77, 23], data: new Float32Array(77 * 23) } }, /77, 23/],
  ])('%s: %o is refused', async (field, options, message) => {
    const run = draw({ ...options });
    await expect(run).rejects.toBeInstanceOf(OptionError);
    await expect(run).rejects.toMatchObject({ field });
    await expect(run).rejects.toThrow(message);
  });
});

describe('encodePrompt', () => {
  it('repeats embeddings for several images, and leaves negative ones out where they are not wanted', async () => {
    const pipe = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sdxl'), {
      backends: [reference()],
    });
    const options = { prompt: ['fox', 'rocket'], numImagesPerPrompt: 2 };
    const embeddings = await pipe.encodePrompt({ ...options, doClassifierFreeGuidance: false });
    expect(Object.keys(embeddings)).toEqual(['promptEmbeds', 'pooledPromptEmbeds']);
    expect(embeddings.promptEmbeds.shape).toEqual([4, 77, 64]);
    expect(embeddings.pooledPromptEmbeds!.shape).toEqual([4, 24]);
    const [first, second, third] = [0, 1, 2].map((i) =>
      embeddings.pooledPromptEmbeds!.data.slice(i * 24, i * 24 + 24),
    );
    expect(second).toEqual(first);
    expect(third).not.toEqual(first);
    const { negativePooledPromptEmbeds } = await pipe.encodePrompt(options);
    expect(negativePooledPromptEmbeds!.data.every((value) => value === 0)).toBe(true);
    const misspelt: object = { prompt: 'fox', negativPrompt: 'x' };
    await expect(pipe.encodePrompt(misspelt)).rejects.toThrow(/Did you mean negativePrompt/);
    const scheduled = { prompt: '[a|b]', promptSyntax: 'webui' } as const;
    await expect(pipe.encodePrompt(scheduled)).rejects.toThrow(/changes from step to step/);
    await pipe.dispose();
  });
});
