/** @file Labelled inputs. */
import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import type { WorkerFolder } from 'calotype/worker';

interface RangeFieldProps {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly onChange: (value: number) => void;
}

interface NumberFieldProps extends RangeFieldProps {
  readonly hint?: string;
}

/** A number in a range; what is outside is put at its nearer end. */
export function NumberField({ label, value, min, max, step, onChange, hint }: NumberFieldProps) {
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type="number"
        {...{ value, min, max, step }}
        title={hint}
        onChange={({ currentTarget }) => {
          const typed = currentTarget.valueAsNumber;
          const rounded = Math.round(typed / step) * step;
          const next = Number.isFinite(typed) ? Math.min(max, Math.max(min, rounded)) : value;
          currentTarget.value = String(next);
          onChange(next);
        }}
      />
    </label>
  );
}

/** A slider that shows its value. */
export function RangeField({ label, value, min, max, step, onChange }: RangeFieldProps) {
  const id = useId();
  return (
    <div class="field range">
      <label for={id}>{label}</label>
      <output for={id}>{value.toFixed(2)}</output>
      <input
        type="range"
        {...{ id, value, min, max, step }}
        onInput={({ currentTarget }) => onChange(currentTarget.valueAsNumber)}
      />
    </div>
  );
}

interface FileFieldProps {
  readonly label: string;
  /** Endings or kinds of files; without them a folder is picked. */
  readonly accept?: string;
  readonly disabled?: boolean;
  readonly multiple?: boolean;
  readonly onPick: (files: readonly File[]) => void;
}

/** A button that picks files, or a folder; the same may be picked again. */
export function FileField({ label, accept, disabled = false, multiple = false, onPick }: FileFieldProps) {
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type="file"
        {...{ disabled, multiple, ...(accept ? { accept } : { webkitdirectory: true }) }}
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          currentTarget.value = '';
          if (files.length > 0) onPick(files);
        }}
      />
    </label>
  );
}

interface AddressFieldProps {
  readonly label: string;
  readonly placeholder: string;
  /** What the button says. */
  readonly action: string;
  readonly disabled: boolean;
  readonly onGive: (address: string) => void;
}

/** A Hub id or a web address, and a button that takes it. */
export function AddressField({ label, placeholder, action, disabled, onGive }: AddressFieldProps) {
  const [address, setAddress] = useState('');
  const id = useId();
  const give = (): void => {
    if (address.trim() !== '' && !disabled) onGive(address.trim());
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <div class="buttons">
        <input
          {...{ id, placeholder }}
          value={address}
          onInput={({ currentTarget }) => setAddress(currentTarget.value)}
          onKeyDown={({ key }) => {
            if (key === 'Enter') give();
          }}
        />
        <button type="button" disabled={disabled || address.trim() === ''} onClick={give}>
          {action}
        </button>
      </div>
    </div>
  );
}

/** The name of a picked folder, and its files by their paths in it. */
export function pickedFolder(files: readonly File[]): WorkerFolder {
  const name = files[0]?.webkitRelativePath.split('/')[0] ?? 'folder';
  return {
    name,
    files: new Map(files.map((file) => [file.webkitRelativePath.slice(name.length + 1), file])),
  };
}

interface PanelProps {
  readonly title: string;
  readonly open?: boolean;
  readonly children: ComponentChildren;
}

/** A part of the form that can be folded away. */
export function Panel({ title, open = false, children }: PanelProps) {
  return (
    <details class="panel" open={open}>
      <summary>{title}</summary>
      <div class="panel-body">{children}</div>
    </details>
  );
}
