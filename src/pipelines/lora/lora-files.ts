/** @file What pipelines with LoRAs need. */

export { readLoraFile } from '../../loaders/lora/lora-file.ts';
export { openAddedFile } from '../load/added-file.ts';
export { adapt, withActive, withAdapter, withAlsoActive, withoutAdapters } from './adapter-changes.ts';
export { readAdapterWeight } from './adapter-weights.ts';
export { LORA_FILE, openAdapterConfig } from './lora-source.ts';
