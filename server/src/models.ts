/** @file The models and LoRAs that a server offers: those it was given, under names; requests can name no others. */
import { basename, resolve } from 'node:path';
import { nearestNames, NotFoundError, OptionError } from 'calotype';

/** A served model or LoRA file. */
export interface NamedSource {
  /** What requests call it. */
  readonly name: string;
  /** Folder, Hub id or .safetensors file. */
  readonly source: string;
}

/** A ControlNet or an IP-Adapter. */
export interface AddedSource extends NamedSource {
  /** Name of the model that it goes with; undefined for all. */
  readonly model?: string;
}

/**
 * Reads `SOURCE` or `NAME=SOURCE`; the name is by default the last part of the source.
 * @throws OptionError for names that are not fit for URLs, and for equal ones
 */
export function readSources(option: string, texts: readonly string[]): NamedSource[] {
  return readNamed(option, texts).map(({ name, source }) => ({ name, source }));
}

/**
 * Reads `SOURCE`, `NAME=SOURCE` or `MODEL:NAME=SOURCE`.
 * @throws OptionError as above, and for a model that there is not
 */
export function readAddedSources(
  option: string,
  texts: readonly string[],
  models: readonly NamedSource[],
): AddedSource[] {
  const added = readNamed(option, texts);
  for (const { model } of added)
    if (model !== undefined && !models.some(({ name }) => name === model))
      throw new OptionError(`there is no model '${model}'`, {
        field: option,
        remedy: `Models are ${models.map(({ name }) => name).join(', ')}`,
      });
  return added;
}

/** Those that go with a model. */
export function addedTo<T extends AddedSource>(added: readonly T[], model: string): T[] {
  return added.filter((one) => one.model === undefined || one.model === model);
}

function readNamed(option: string, texts: readonly string[]): AddedSource[] {
  const seen = new Set<string>();
  return texts.map((text) => {
    const [, model, given, source = text] = /^(?:([^=:/\\]+):)?([^=:/\\]+)=(.+)$/.exec(text) ?? [];
    // A folder may be given as '.', whose name is not in the text.
    const last = source.startsWith('.') ? basename(resolve(source)) : basename(source.replace(/[/\\]+$/, ''));
    const name = given ?? last.replace(/\.safetensors$/i, '');
    const remedy = 'Give each a name of its own, as name=source';
    if (!/^[\w.()+ -]{1,128}$/.test(name))
      throw new OptionError(`'${name}' is no name that requests could use`, { field: option, remedy });
    const key = model === undefined ? name : `${model}:${name}`;
    if (seen.has(key)) throw new OptionError(`two are called '${key}'`, { field: option, remedy });
    seen.add(key);
    return { name, source, ...(model !== undefined && { model }) };
  });
}

/**
 * The model that a request names; the first one where it names none.
 * @throws NotFoundError
 */
export function findModel(models: readonly NamedSource[], name: string | undefined): NamedSource {
  const found = name === undefined ? models[0] : models.find((model) => model.name === name);
  if (found) return found;
  const names = models.map((model) => model.name);
  const [nearest] = nearestNames(name ?? '', names);
  throw new NotFoundError(`there is no model '${name}'`, {
    field: 'model',
    remedy: `Did you mean ${nearest}? Served are ${names.join(', ')}`,
  });
}

/**
 * What a request names of that which goes with a model.
 * @param kind what it is, for people
 * @throws OptionError
 */
export function findAdded<T extends AddedSource>(
  added: readonly T[],
  model: string,
  name: string,
  kind: 'ControlNet' | 'IP-Adapter',
  field: string,
): T {
  const offered = addedTo(added, model);
  const found = offered.find((one) => one.name === name);
  if (found) return found;
  const names = offered.map((one) => one.name).join(', ');
  throw new OptionError(`the model ${model} is served with no ${kind} '${name}'`, {
    field,
    remedy: names === '' ? 'Leave it out' : `There are ${names}`,
  });
}
