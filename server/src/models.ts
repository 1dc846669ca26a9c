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

/**
 * Reads `SOURCE` or `NAME=SOURCE`; the name is by default the last part of the source.
 * @throws OptionError for names that are not fit for URLs, and for equal ones
 */
export function readSources(option: string, texts: readonly string[]): NamedSource[] {
  const seen = new Set<string>();
  return texts.map((text) => {
    const [, given, source = text] = /^([^=/\\]+)=(.+)$/.exec(text) ?? [];
    // A folder may be given as '.', whose name is not in the text.
    const last = source.startsWith('.') ? basename(resolve(source)) : basename(source.replace(/[/\\]+$/, ''));
    const name = given ?? last.replace(/\.safetensors$/i, '');
    const remedy = 'Give each a name of its own, as name=source';
    if (!/^[\w.()+ -]{1,128}$/.test(name))
      throw new OptionError(`'${name}' is no name that requests could use`, { field: option, remedy });
    if (seen.has(name)) throw new OptionError(`two are called '${name}'`, { field: option, remedy });
    seen.add(name);
    return { name, source };
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
