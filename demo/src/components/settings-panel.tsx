/** @file Size, steps, guidance, scheduler, seed. */
import { change, randomSeed, SCHEDULERS, settings } from '../settings.ts';
import { NumberField } from './field.tsx';

export function SettingsPanel() {
  const { width, height, steps, guidance, scheduler, syntax, seed, seedLocked } = settings.value;
  return (
    <section class="settings" aria-label="Settings">
      <NumberField
        label="Width"
        value={width}
        min={64}
        max={2048}
        step={8}
        onChange={(value) => change({ width: value })}
      />
      <NumberField
        label="Height"
        value={height}
        min={64}
        max={2048}
        step={8}
        onChange={(value) => change({ height: value })}
      />
      <NumberField
        label="Steps"
        value={steps}
        min={1}
        max={150}
        step={1}
        onChange={(value) => change({ steps: value })}
      />
      <NumberField
        label="Guidance"
        value={guidance}
        min={0}
        max={30}
        step={0.1}
        hint="How closely the picture follows the prompt; 1 or less turns guidance off and doubles the speed"
        onChange={(value) => change({ guidance: value })}
      />
      <label class="field">
        <span>Scheduler</span>
        <select
          value={scheduler}
          onChange={({ currentTarget }) => change({ scheduler: currentTarget.value })}
        >
          <option value="">The model’s own</option>
          {Object.keys(SCHEDULERS).map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>Prompts are read</span>
        <select
          value={syntax}
          onChange={({ currentTarget }) =>
            change({ syntax: currentTarget.value === 'webui' ? 'webui' : 'plain' })
          }
        >
          <option value="plain">as they are</option>
          <option value="webui">with weights: (apple:1.3), [background]</option>
        </select>
      </label>
      <div class="field seed">
        <NumberField
          label="Seed"
          value={seed}
          min={0}
          max={2 ** 32 - 1}
          step={1}
          onChange={(value) => change({ seed: value, seedLocked: true })}
        />
        <label class="check">
          <input
            type="checkbox"
            checked={seedLocked}
            onChange={({ currentTarget }) => change({ seedLocked: currentTarget.checked })}
          />
          keep
        </label>
        <button type="button" onClick={() => change({ seed: randomSeed() })}>
          New
        </button>
      </div>
    </section>
  );
}
