/** @file The whole page. */
import { AdditionsPanel } from './components/additions-panel.tsx';
import { ControlPanel } from './components/control-panel.tsx';
import { GalleryPanel } from './components/gallery-panel.tsx';
import { ModelPanel } from './components/model-panel.tsx';
import { PromptPanel } from './components/prompt-panel.tsx';
import { SettingsPanel } from './components/settings-panel.tsx';
import { SourcePanel } from './components/source-panel.tsx';
import { Stage } from './components/stage.tsx';
import { takeDropped } from './dropped.ts';
import { problem, messageOf } from './engine.ts';

/** Pictures, weights and folders may be dropped anywhere. */
function drop(event: DragEvent): void {
  event.preventDefault();
  if (!event.dataTransfer) return;
  takeDropped(event.dataTransfer).catch((error: unknown) => (problem.value = messageOf(error)));
}

export function App() {
  return (
    <div class="page" onDragOver={(event) => event.preventDefault()} onDrop={drop}>
      <header>
        <h1>calotype</h1>
        <p>Pictures from prompts, drawn by this page itself: nothing you type leaves your computer.</p>
      </header>
      <main>
        <form
          class="controls"
          aria-label="What to draw"
          onSubmit={(event) => {
            event.preventDefault();
          }}
        >
          <PromptPanel />
          <SettingsPanel />
          <SourcePanel />
          <AdditionsPanel />
          <ControlPanel />
          <ModelPanel />
        </form>
        <Stage />
      </main>
      <GalleryPanel />
    </div>
  );
}
