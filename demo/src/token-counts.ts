/** @file How much of the model's input the prompts take, counted shortly after they were changed. */
import { effect, signal } from '@preact/signals';
import type { PromptTokens } from 'calotype/worker';
import { embeddings } from './additions.ts';
import { messageOf, worker } from './engine.ts';
import { model } from './models.ts';
import { settings } from './settings.ts';

/** A count, or why there is none. */
export type Count = PromptTokens | { readonly problem: string };

export const promptCount = signal<Count | undefined>(undefined);
export const negativeCount = signal<Count | undefined>(undefined);

/** Milliseconds after the last key. */
const PAUSE = 150;
let timer: ReturnType<typeof setTimeout> | undefined;

effect(() => {
  const { prompt, negativePrompt, syntax } = settings.value;
  const isThere = model.value !== undefined;
  // Learned words count for as many tokens as they have vectors.
  void embeddings.value;
  clearTimeout(timer);
  if (!isThere) return;
  timer = setTimeout(() => {
    void count(prompt, syntax).then((counted) => (promptCount.value = counted));
    void count(negativePrompt, syntax).then((counted) => (negativeCount.value = counted));
  }, PAUSE);
});

async function count(prompt: string, syntax: 'plain' | 'webui'): Promise<Count> {
  try {
    return await worker.countTokens(prompt, syntax);
  } catch (error) {
    return { problem: messageOf(error) };
  }
}
