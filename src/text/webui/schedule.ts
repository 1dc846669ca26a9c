/**
 * @file Prompts that change while a picture is drawn, in the syntax of stable-diffusion-webui (its wiki, "Features:
 * Prompt editing, Alternating words"):
 *
 *     [from:to:when]   `from` up to the step `when`, `to` after it
 *     [to:when]        nothing, then `to`             [from::when]   `from`, then nothing
 *     [a|b|c]          a, b, c, a, ... step by step
 *
 * `when` is a step, counted from 1, or with a decimal point a share of all steps. Everything nests. Brackets that are
 * none of these stay as they are, for attention weights (`attention.ts`), and so does what is escaped.
 */

import { checkDepth } from './limits.ts';

/** Text, or something that depends on the step. */
type Node = string | Edit | Alternation;

interface Edit {
  readonly before: readonly Node[];
  readonly after: readonly Node[];
  readonly when: number;
  /** Whether `when` is a share of all steps. */
  readonly share: boolean;
}

interface Alternation {
  readonly options: readonly (readonly Node[])[];
}

/** The text of a prompt from a step on. */
export interface ScheduledText {
  /** Step at which it begins, counted from 0. */
  readonly from: number;
  readonly text: string;
}

/**
 * The texts of a prompt over a number of steps, the first one from step 0, each different from the one before.
 * @param field option that the prompt is from, for messages
 * @throws OptionError for over 100 open brackets
 */
export function schedulePrompt(prompt: string, steps: number, field = 'prompt'): ScheduledText[] {
  const nodes = parse(prompt, field);
  const texts: ScheduledText[] = [];
  for (const from of [...changes(nodes, steps)].sort((a, b) => a - b)) {
    const text = textAt(nodes, from, steps);
    if (text !== texts.at(-1)?.text) texts.push({ from, text });
  }
  return texts;
}

/** The last step of `before`, counted from 1. */
function lastStep({ when, share }: Edit, steps: number): number {
  return Math.min(steps, Math.trunc(share ? when * steps : when));
}

/** Steps, counted from 0, at which the text may change; the first is one. */
function changes(nodes: readonly Node[], steps: number, found = new Set([0])): Set<number> {
  for (const node of nodes) {
    if (typeof node === 'string') continue;
    if ('options' in node) {
      for (let step = 0; step < steps; step++) found.add(step);
      for (const option of node.options) changes(option, steps, found);
    } else {
      const last = lastStep(node, steps);
      if (last > 0 && last < steps) found.add(last);
      changes(node.before, steps, found);
      changes(node.after, steps, found);
    }
  }
  return found;
}

/** The text at a step, counted from 0. */
function textAt(nodes: readonly Node[], step: number, steps: number): string {
  return nodes
    .map((node): string => {
      if (typeof node === 'string') return node;
      if ('options' in node) return textAt(node.options[step % node.options.length], step, steps);
      return textAt(step < lastStep(node, steps) ? node.before : node.after, step, steps);
    })
    .join('');
}

/** A bracket that is open (or the prompt itself), and what is in it so far. */
interface Frame {
  readonly bracket: '' | '(' | '[';
  /** Nodes by the separators that they stand between. */
  readonly parts: Node[][];
  /** The separators, one fewer than parts. */
  readonly separators: string[];
  /** Whether there is a bracket without its pair in it: then it means nothing itself. */
  broken: boolean;
}

function frame(bracket: Frame['bracket']): Frame {
  return { bracket, parts: [[]], separators: [], broken: false };
}

function add(to: Frame, ...nodes: readonly Node[]): void {
  to.parts.at(-1)?.push(...nodes);
}

/** All that is in a bracket, separators as text. */
function contents({ parts, separators }: Frame): Node[] {
  return parts.flatMap((part, i) => (i === 0 ? part : [separators[i - 1], ...part]));
}

function parse(prompt: string, field: string): readonly Node[] {
  const stack = [frame('')];
  const top = (): Frame => stack[stack.length - 1];
  /** Gives up the innermost open bracket: what is in it belongs to what is around it. */
  const dissolve = (): void => {
    const inner = stack.pop();
    if (inner === undefined) return;
    add(top(), inner.bracket, ...contents(inner));
    top().broken = true;
  };
  const close = (opening: '(' | '[', closing: string): void => {
    if (!stack.some(({ bracket }) => bracket === opening)) {
      add(top(), closing);
      top().broken = true;
      return;
    }
    while (top().bracket !== opening) dissolve();
    const inner = stack.pop();
    const nodes = inner && group(inner, closing);
    if (nodes) add(top(), ...nodes);
    else if (inner) {
      add(top(), opening, ...contents(inner), closing);
      top().broken = true;
    }
  };

  for (const [token] of prompt.matchAll(/\\[^]|[()[\]:|]|[^\\()[\]:|]+|\\/gu)) {
    if (token === '(' || token === '[') {
      stack.push(frame(token));
      checkDepth(stack.length - 1, field);
    } else if (token === ')') close('(', token);
    else if (token === ']') close('[', token);
    else if ((token === ':' || token === '|') && stack.length > 1) {
      top().separators.push(token);
      top().parts.push([]);
    } else add(top(), token);
  }
  while (stack.length > 1) dissolve();
  return contents(stack[0]);
}

const NUMBER = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*$/i;

/** What a closed bracket means; undefined if it is neither an edit, an alternation nor a weight. */
function group(inner: Frame, closing: string): Node[] | undefined {
  const { bracket, parts, separators, broken } = inner;
  if (broken) return undefined;
  const colons = separators.filter((separator) => separator === ':').length;
  const bars = separators.length - colons;
  if (bars === 0 && (colons === 0 || (bracket === '(' && colons === 1)))
    return [bracket, ...contents(inner), closing];
  if (bracket === '(') return undefined;
  if (colons === 0) return [{ options: parts }];
  const when =
    parts
      .at(-1)
      ?.map((node) => (typeof node === 'string' ? node : '['))
      .join('') ?? '';
  if (bars > 0 || colons > 2 || !NUMBER.test(when)) return undefined;
  const [before, after] = colons === 1 ? [[], parts[0]] : parts;
  return [{ before, after, when: Number(when), share: when.includes('.') }];
}
