/** @file Texts become embeddings: tokenized in a syntax, cut into chunks, run through one text encoder or several. */

import { OptionError } from '../../errors.ts';
import {
  readSchedule,
  tokenizePrompt,
  type PromptSyntax,
  type TokenizedPrompt,
} from '../../text/prompt-tokens.ts';
import { WEBUI } from '../../text/webui-part.ts';
import { stack, type PromptEmbedding } from './conditioning.ts';
import type { ComponentDemands } from '../../plan/residency.ts';
import type { ProgramOptions } from '../network.ts';
import type { EncodedText, HiddenLayer, PromptEncoder } from './text-encoder.ts';

/** Prompts that are encoded alike: the positive ones of a call, or the negative ones. */
export interface PromptSide {
  /** Texts by prompt, for each text encoder one. */
  readonly texts: readonly (readonly string[])[];
  readonly layer: HiddenLayer;
  /** Option that the texts are from, for messages. */
  readonly field: string;
}

/** How to embed. */
export interface EmbedOptions {
  readonly syntax: PromptSyntax;
  /** Steps over which webui's schedules run. */
  readonly steps: number;
  /** Tokens that the embeddings must have, where others are given already. */
  readonly tokens?: number | undefined;
}

/** All prompts as they are from a step on. */
export interface EmbeddedMoment {
  /** Counted from 0. */
  readonly from: number;
  /** Embeddings by side and prompt. */
  readonly sides: readonly (readonly PromptEmbedding[])[];
}

/** Embeddings of all sides, as long as each other. */
export interface Embedded {
  readonly tokens: number;
  /** At least one; the first is from step 0. */
  readonly moments: readonly EmbeddedMoment[];
  /** Ends of prompts that were cut off. */
  readonly truncated: readonly string[];
}

/** The texts of each side and prompt, one an encoder, from a step on. */
interface Moment {
  readonly from: number;
  readonly sides: readonly (readonly (readonly string[])[])[];
}

/** The text encoders of a pipeline. */
export class PromptEmbedder {
  readonly #encoders: readonly PromptEncoder[];
  readonly #pooled: boolean;

  /** @param pooled whether the pooled output of the last encoder is part of the embeddings */
  constructor(encoders: readonly PromptEncoder[], pooled: boolean) {
    this.#encoders = encoders;
    this.#pooled = pooled;
  }

  /** One for each text of a prompt. */
  get encoders(): readonly PromptEncoder[] {
    return this.#encoders;
  }

  /** Of the hidden states. */
  get channels(): number {
    return this.#encoders.reduce((sum, { config }) => sum + config.hiddenSize, 0);
  }

  /** What the encoders take to read the layers of prompts, by the names of their folders. */
  demands(layers: readonly HiddenLayer[]): ComponentDemands {
    return new Map(this.#encoders.map((encoder) => [encoder.network.name, encoder.demands(layers)]));
  }

  /**
   * Embeds all prompts. In webui syntax all get as many chunks as the longest needs, filled up with empty ones.
   * @throws OptionError for what the syntax does not allow, and where `tokens` cannot be had
   */
  async embed(
    sides: readonly PromptSide[],
    { syntax, steps, tokens }: EmbedOptions,
    programs: ProgramOptions,
  ): Promise<Embedded> {
    if (syntax === 'webui') await WEBUI.load();
    const moments = readMoments(sides, syntax, steps);
    // Texts come back at other steps and in other prompts; each is encoded once.
    const tokenized = new Map<string, TokenizedPrompt>();
    const tokenize = (text: string, encoder: number, field: string): TokenizedPrompt => {
      const key = JSON.stringify([encoder, text]);
      const known = tokenized.get(key);
      if (known) return known;
      const { tokenizer, inverted } = this.#encoders[encoder];
      const maxLength = syntax === 'plain' ? lengthFor(tokens, tokenizer.modelMaxLength) : undefined;
      const made = tokenizePrompt(tokenizer, text, { syntax, field, maxLength, inverted });
      tokenized.set(key, made);
      return made;
    };
    for (const { sides: texts } of moments)
      for (const [side, prompts] of texts.entries())
        for (const prompt of prompts)
          for (const [encoder, text] of prompt.entries())
            tokenize(text, encoder, fieldOf(sides[side], encoder));
    const truncated = new Set([...tokenized.values()].flatMap(({ truncated: end }) => end ?? []));
    const chunks = chunkCount(
      [...tokenized.values()],
      syntax,
      tokens,
      this.#encoders[0].tokenizer.modelMaxLength,
    );

    // Drivers compile in the order in which they are asked: the last encoder before what follows.
    const read = sides.flatMap(({ texts, layer }) => (texts.length > 0 ? [layer] : []));
    for (const layer of new Map(read.map((one) => [JSON.stringify(one), one])).values())
      for (const encoder of this.#encoders) encoder.warm(layer);
    const encoded = new Map<string, EncodedText>();
    const encode = async (text: string, encoder: number, side: PromptSide): Promise<EncodedText> => {
      const { layer } = side;
      const key = JSON.stringify([encoder, text, layer]);
      const known = encoded.get(key);
      if (known) return known;
      const own = tokenize(text, encoder, fieldOf(side, encoder)).chunks;
      const { tokenizer } = this.#encoders[encoder];
      const empty = Array.from({ length: chunks - own.length }, () => ({ ids: tokenizer.frame([]) }));
      const made = await this.#encoders[encoder].encode([...own, ...empty], layer, programs);
      encoded.set(key, made);
      return made;
    };
    const embedded: EmbeddedMoment[] = [];
    for (const { from, sides: texts } of moments) {
      const embeddings: PromptEmbedding[][] = [];
      for (const [side, prompts] of texts.entries()) {
        const row: PromptEmbedding[] = [];
        for (const prompt of prompts) {
          const parts: EncodedText[] = [];
          for (const [encoder, text] of prompt.entries())
            parts.push(await encode(text, encoder, sides[side]));
          const pooled = this.#pooled ? parts.at(-1)?.pooled : undefined;
          row.push({ hidden: joinChannels(parts), ...(pooled && { pooled }) });
        }
        embeddings.push(row);
      }
      embedded.push({ from, sides: embeddings });
    }
    const all = [...encoded.values()].map((text) => text.tokens);
    return { tokens: all[0] ?? tokens ?? 0, moments: embedded, truncated: [...truncated] };
  }

  dispose(): void {
    for (const encoder of this.#encoders) encoder.dispose();
  }
}

/** The option that an encoder's text is from. */
function fieldOf({ field }: PromptSide, encoder: number): string {
  return encoder === 0 ? field : `${field}2`;
}

/** The texts of all sides at every step where one changes. */
function readMoments(sides: readonly PromptSide[], syntax: PromptSyntax, steps: number): Moment[] {
  const schedules = sides.map((side) =>
    side.texts.map((prompt) =>
      prompt.map((text, encoder) => readSchedule(text, syntax, steps, fieldOf(side, encoder))),
    ),
  );
  const starts = new Set(schedules.flat(2).flatMap((schedule) => schedule.map(({ from }) => from)));
  return [...starts.add(0)]
    .sort((a, b) => a - b)
    .map((from) => ({
      from,
      sides: schedules.map((prompts) =>
        prompts.map((texts) =>
          texts.map((schedule) => schedule.findLast((scheduled) => scheduled.from <= from)?.text ?? ''),
        ),
      ),
    }));
}

/** diffusers encodes a negative prompt as long as the embeddings that were given beside it. */
function lengthFor(tokens: number | undefined, most: number): number | undefined {
  if (tokens === undefined || tokens <= most) return tokens;
  throw new OptionError(`they have ${tokens} tokens, and the prompt beside them can only have ${most}`, {
    field: 'promptEmbeds',
    remedy: "Give that prompt as embeddings too, or use promptSyntax: 'webui'",
  });
}

function chunkCount(
  prompts: readonly TokenizedPrompt[],
  syntax: PromptSyntax,
  tokens: number | undefined,
  length: number,
): number {
  const longest = Math.max(1, ...prompts.map(({ chunks }) => chunks.length));
  if (syntax === 'plain' || tokens === undefined) return longest;
  if (tokens % length === 0 && tokens >= longest * length) return tokens / length;
  throw new OptionError(`they have ${tokens} tokens, the prompt beside them ${longest * length}`, {
    field: 'promptEmbeds',
    remedy: 'Give that prompt as embeddings too',
  });
}

/** [tokens, a] and [tokens, b] side by side: [tokens, a + b]. */
function joinChannels(parts: readonly EncodedText[]): Float32Array {
  if (parts.length === 1) return parts[0].hidden;
  const tokens = parts[0]?.tokens ?? 0;
  const row = ({ hidden }: EncodedText, t: number): Float32Array =>
    hidden.subarray((t * hidden.length) / tokens, ((t + 1) * hidden.length) / tokens);
  return stack(Array.from({ length: tokens }, (_, t) => stack(parts.map((part) => row(part, t)))));
}
