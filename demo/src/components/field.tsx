/** @file Labelled inputs. */
import type { ComponentChildren } from 'preact';

interface NumberFieldProps {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly onChange: (value: number) => void;
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
