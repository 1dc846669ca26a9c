/** @file Which model is loaded, where others come from, and what the browser keeps. */
import { busy } from '../engine.ts';
import { cache, forget, load, model, reload } from '../models.ts';
import { change, settings } from '../settings.ts';
import { AddressField, FileField, NumberField, Panel, pickedFolder } from './field.tsx';

export function ModelPanel() {
  const loaded = model.value;
  return (
    <Panel title={`Model: ${loaded?.name ?? 'none'}`}>
      <AddressField
        label="Hub id or address of a diffusers folder"
        placeholder="stabilityai/sd-turbo"
        action="Load"
        disabled={busy.value}
        onGive={(address) => void load(address, address)}
      />
      <FileField
        label="A diffusers folder on this computer"
        disabled={busy.value}
        onPick={(files) => {
          const folder = pickedFolder(files);
          void load(folder.name, folder);
        }}
      />
      <FileField
        label="A checkpoint (.safetensors)"
        accept=".safetensors"
        disabled={busy.value}
        onPick={([file]) => void load(file.name, { name: file.name, checkpoint: file })}
      />
      <Memory />
      {loaded && (
        <dl>
          <dt>Kind</dt>
          <dd>{loaded.className}</dd>
          <dt>Runs on</dt>
          <dd>
            {loaded.backend.name}: {loaded.backend.description}
          </dd>
          {[...(loaded.backend.lacks ?? []), ...loaded.notices].map((notice) => (
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

/** The budget; the model is loaded again where it changes. */
function Memory() {
  const { memory, lossy } = settings.value;
  const set = (values: { readonly memory?: number; readonly lossy?: boolean }): void => {
    change(values);
    void reload();
  };
  return (
    <fieldset class="settings" disabled={busy.value}>
      <legend>Memory</legend>
      <NumberField
        label="At most, in GB (0: what it needs)"
        value={memory}
        min={0}
        max={512}
        step={0.5}
        hint="Parts of the model are on the device in their turns, and weights are streamed, where it needs more"
        onChange={(value) => set({ memory: value })}
      />
      <label class="check">
        <input
          type="checkbox"
          checked={lossy}
          disabled={memory === 0}
          onChange={({ currentTarget }) => set({ lossy: currentTarget.checked })}
        />
        8-bit weights if need be
      </label>
    </fieldset>
  );
}

function bytes(count: number): string {
  return count < 1e9 ? `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} MB` : `${(count / 1e9).toFixed(1)} GB`;
}
