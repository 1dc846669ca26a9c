/**
 * @file Reads the `parameters` text that stable-diffusion-webui writes into pictures: the prompt, a line that begins with
 * "Negative prompt: ", and as the last line settings as `Name: value, Name: value`. Names of samplers and upscalers are
 * left as they are; what is done with them is the reader's affair.
 */

import { FileFormatError } from '../errors.ts';
import { parseJson } from '../loaders/json.ts';

/** What the text says. */
export interface WebuiParameters {
  readonly prompt: string;
  readonly negativePrompt: string | undefined;
  /** Settings by their names, as text. */
  readonly settings: ReadonlyMap<string, string>;
}

const NEGATIVE = 'Negative prompt:';
/** A setting: its name, and a value that is quoted as JSON or ends at the next comma. */
const SETTING = /\s*(?<name>[A-Za-z0-9][^:,"\n]*?):\s*(?<value>"(?:\\.|[^\\"])*"|[^,]*)(?:,|$)/gy;
/** More are written by no version; a last line without them is part of the prompt, and the text is none of these. */
const REQUIRED = ['Steps', 'Sampler', 'CFG scale', 'Seed', 'Size'];
const MAX_CHARACTERS = 1 << 20;

/**
 * Parses the text. `file` is the picture's name, for messages.
 * @throws FileFormatError where settings are missing, are there twice, or cannot be told apart
 */
export function parseWebuiParameters(text: string, file = 'the picture'): WebuiParameters {
  const refuse = (problem: string): never => {
    throw new FileFormatError(problem, {
      file,
      field: 'parameters',
      remedy: 'Give the options by hand; this text is not one that stable-diffusion-webui writes',
    });
  };
  if (text.length > MAX_CHARACTERS) return refuse(`has ${text.length} characters`);
  const lines = text.trim().split(/\r?\n/);
  const settings = new Map<string, string>();
  const line = lines.pop() ?? '';
  let end = 0;
  for (const match of line.matchAll(SETTING)) {
    const { name = '', value = '' } = match.groups ?? {};
    if (settings.has(name)) return refuse(`says "${name}" twice`);
    settings.set(name, value.startsWith('"') ? unquote(value, file) : value.trim());
    end = match.index + match[0].length;
  }
  const missing = REQUIRED.filter((name) => !settings.has(name));
  if (missing.length > 0) return refuse(`its last line does not say ${missing.join(', ')}`);
  if (end < line.length) return refuse(`its settings end at "${line.slice(end, end + 20)}"`);
  const negatives = lines.flatMap((one, i) => (one.startsWith(NEGATIVE) ? [i] : []));
  if (negatives.length > 1) return refuse(`says "${NEGATIVE}" twice`);
  const [split = lines.length] = negatives;
  const negative = [lines[split]?.slice(NEGATIVE.length) ?? '', ...lines.slice(split + 1)].join('\n').trim();
  return {
    prompt: lines.slice(0, split).join('\n').trim(),
    negativePrompt: negative === '' ? undefined : negative,
    settings,
  };
}

function unquote(value: string, file: string): string {
  const parsed = parseJson(value, file);
  return typeof parsed === 'string' ? parsed : value;
}
