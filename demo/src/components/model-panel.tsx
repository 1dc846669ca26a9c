/** @file Which model is loaded, where others come from, and what the browser keeps. */
import { useState } from 'preact/hooks';
import { busy, cache, forget, load, model } from '../studio.ts';
import { Panel } from './field.tsx';

export function ModelPanel() {
  const [address, setAddress] = useState('');
  const loaded = model.value;
  return (
    <Panel title={`Model: ${loaded?.name ?? 'none'}`}>
      <div class="field">
        <label for="address">Hub id or address of a diffusers folder</label>
        <div class="buttons">
          <input
            id="address"
            value={address}
            placeholder="stabilityai/sd-turbo"
            onInput={({ currentTarget }) => setAddress(currentTarget.value)}
          />
          <button
            type="button"
            disabled={busy.value || address.trim() === ''}
            onClick={() => void load(address.trim(), address.trim())}
          >
            Load
          </button>
        </div>
      </div>
      <label class="field">
        <span>A diffusers folder on this computer</span>
        <input type="file" disabled={busy.value} onChange={pickFolder} {...{ webkitdirectory: true }} />
      </label>
      <label class="field">
        <span>A checkpoint (.safetensors)</span>
        <input type="file" accept=".safetensors" disabled={busy.value} onChange={pickCheckpoint} />
      </label>
      {loaded && (
        <dl>
          <dt>Kind</dt>
          <dd>{loaded.className}</dd>
          <dt>Runs on</dt>
          <dd>
            {loaded.backend.name}: {loaded.backend.description}
          </dd>
          {loaded.notices.map((notice) => (
            <dd key={notice} class="notice">
              {notice}
            </dd>
          ))}
        </dl>
      )}
      <Kept />
    </Panel>
  );
}

/** The model cache. */
function Kept() {
  const state = cache.value;
  if (!state) return <p class="notice">This browser keeps no models between visits.</p>;
  const { usage, quota } = state.room;
  return (
    <>
      <p>
        Kept by this browser: {bytes(usage)} of {bytes(quota)}
        {state.persisted ? '' : '; it may clear them by itself when it runs out of room'}.
      </p>
      <ul class="kept">
        {state.models.map(({ name, bytes: size }) => (
          <li key={name}>
            <span>{name}</span> <span>{bytes(size)}</span>
            <button type="button" disabled={busy.value} onClick={() => void forget(name)}>
              Remove
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

function pickFolder({ currentTarget }: { readonly currentTarget: HTMLInputElement }): void {
  const files = [...(currentTarget.files ?? [])];
  const name = files[0]?.webkitRelativePath.split('/')[0] ?? 'folder';
  if (files.length > 0)
    void load(name, {
      name,
      files: new Map(files.map((file) => [file.webkitRelativePath.slice(name.length + 1), file])),
    });
}

function pickCheckpoint({ currentTarget }: { readonly currentTarget: HTMLInputElement }): void {
  const [file] = currentTarget.files ?? [];
  if (file) void load(file.name, { name: file.name, checkpoint: file });
}

function bytes(count: number): string {
  return count < 1e9 ? `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} MB` : `${(count / 1e9).toFixed(1)} GB`;
}
