/** @file LoRAs with their sliders, and learned words. */
import {
  addEmbedding,
  addLora,
  embeddings,
  loras,
  removeEmbedding,
  removeLora,
  weighLora,
} from '../additions.ts';
import { busy } from '../engine.ts';
import { takeFiles } from '../dropped.ts';
import { model } from '../models.ts';
import { AddressField, FileField, Panel, RangeField } from './field.tsx';

export function AdditionsPanel() {
  const count = loras.value.length + embeddings.value.length;
  const disabled = busy.value || !model.value;
  return (
    <Panel title={`LoRAs and embeddings: ${count === 0 ? 'none' : count}`}>
      <FileField
        label="Files (.safetensors; or drop them anywhere)"
        accept=".safetensors"
        multiple
        disabled={disabled}
        onPick={(files) => void takeFiles(files)}
      />
      <AddressField
        label="Hub id or address of a LoRA"
        placeholder="latent-consistency/lcm-lora-sdv1-5"
        action="Add"
        disabled={disabled}
        onGive={(address) => void addLora(address)}
      />
      <AddressField
        label="Hub id or address of an embedding"
        placeholder="sd-concepts-library/cat-toy"
        action="Add"
        disabled={disabled}
        onGive={(address) => void addEmbedding(address)}
      />
      <Loras />
      <Embeddings />
    </Panel>
  );
}

function Loras() {
  if (loras.value.length === 0) return null;
  return (
    <ul class="kept" aria-label="LoRAs">
      {loras.value.map(({ name, weight, notices }) => (
        <li key={name}>
          <RangeField
            label={name}
            value={weight}
            min={-1}
            max={2}
            step={0.05}
            onChange={(value) => weighLora(name, value)}
          />
          <button
            type="button"
            disabled={busy.value}
            aria-label={`Remove ${name}`}
            onClick={() => void removeLora(name)}
          >
            Remove
          </button>
          {notices.map((notice) => (
            <p key={notice} class="notice">
              {notice}
            </p>
          ))}
        </li>
      ))}
    </ul>
  );
}

function Embeddings() {
  if (embeddings.value.length === 0) return null;
  return (
    <ul class="kept" aria-label="Embeddings">
      {embeddings.value.map((embedding) => {
        const words = embedding.words.join(', ');
        return (
          <li key={words}>
            <span>Write {words} in a prompt</span>
            <button
              type="button"
              disabled={busy.value}
              aria-label={`Remove ${words}`}
              onClick={() => void removeEmbedding(embedding)}
            >
              Remove
            </button>
          </li>
        );
      })}
    </ul>
  );
}
