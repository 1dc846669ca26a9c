/** @file The prompts with what they take of the model's input, and the button. */
import type { Signal } from '@preact/signals';
import { activity, busy, cancel } from '../engine.ts';
import { model } from '../models.ts';
import { draw } from '../studio.ts';
import { change, settings } from '../settings.ts';
import { type Count, negativeCount, promptCount } from '../token-counts.ts';

/** Enter with Ctrl or Command draws, as in other programs of this kind. */
function onKeyDown(event: KeyboardEvent): void {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void draw();
}

export function PromptPanel() {
  return (
    <section class="prompts" aria-label="Prompts">
      <PromptField label="Prompt" name="prompt" rows={3} count={promptCount} />
      <PromptField label="Not in the picture" name="negativePrompt" rows={1} count={negativeCount} />
      {busy.value ? (
        <button type="button" class="primary stop" onClick={cancel}>
          {activity.value.kind === 'loading' ? 'Stop loading' : 'Stop'}
        </button>
      ) : (
        <button type="button" class="primary" disabled={!model.value} onClick={() => void draw()}>
          Draw
        </button>
      )}
    </section>
  );
}

interface PromptFieldProps {
  readonly label: string;
  readonly name: 'prompt' | 'negativePrompt';
  readonly rows: number;
  readonly count: Signal<Count | undefined>;
}

function PromptField({ label, name, rows, count }: PromptFieldProps) {
  return (
    <div class="field">
      <label for={name}>{label}</label>
      <textarea
        id={name}
        rows={rows}
        value={settings.value[name]}
        aria-describedby={`${name}-tokens`}
        onInput={({ currentTarget }) => change({ [name]: currentTarget.value })}
        onKeyDown={onKeyDown}
      />
      <div id={`${name}-tokens`} class="tokens">
        {count.value && <Tokens count={count.value} />}
      </div>
    </div>
  );
}

function Tokens({ count }: { readonly count: Count }) {
  if ('problem' in count) return <span class="problem">{count.problem}</span>;
  const { tokens, room, chunks, truncated, weighted } = count;
  return (
    <>
      <span>
        {tokens} of {room * chunks} tokens{chunks > 1 ? `, in ${chunks} chunks of ${room}` : ''}
      </span>
      {truncated !== undefined && <span class="problem">Not read: {truncated}</span>}
      {weighted.map(({ text, weight }, i) => (
        <span key={i} class={weight > 1 ? 'weight more' : 'weight'}>
          {text.trim()} ×{Number(weight.toFixed(2))}
        </span>
      ))}
    </>
  );
}
