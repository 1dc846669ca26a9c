/** @file The prompts and the button. */
import { activity, busy, cancel, draw, model } from '../studio.ts';
import { change, settings } from '../settings.ts';

/** Enter with Ctrl or Command draws, as in other programs of this kind. */
function onKeyDown(event: KeyboardEvent): void {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void draw();
}

export function PromptPanel() {
  const { prompt, negativePrompt } = settings.value;
  return (
    <section class="prompts" aria-label="Prompts">
      <label class="field">
        <span>Prompt</span>
        <textarea
          rows={3}
          value={prompt}
          onInput={({ currentTarget }) => change({ prompt: currentTarget.value })}
          onKeyDown={onKeyDown}
        />
      </label>
      <label class="field">
        <span>Not in the picture</span>
        <textarea
          rows={1}
          value={negativePrompt}
          onInput={({ currentTarget }) => change({ negativePrompt: currentTarget.value })}
          onKeyDown={onKeyDown}
        />
      </label>
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
