/** @file The model that is used when none is named. */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

/** The folder of the starter model, which npm installs with the command. */
export function starterModel(): string {
  return dirname(createRequire(import.meta.url).resolve('@calotype/emoji-starter/model_index.json'));
}
