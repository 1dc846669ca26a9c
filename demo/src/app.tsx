/** @file The whole page. */
import { GalleryPanel } from './components/gallery-panel.tsx';
import { ModelPanel } from './components/model-panel.tsx';
import { PromptPanel } from './components/prompt-panel.tsx';
import { SettingsPanel } from './components/settings-panel.tsx';
import { SourcePanel } from './components/source-panel.tsx';
import { Stage } from './components/stage.tsx';
import { takePicture } from './studio.ts';

/** Pictures may be dropped anywhere. */
function drop(event: DragEvent): void {
  event.preventDefault();
  const [file] = event.dataTransfer?.files ?? [];
  if (file) void takePicture(file);
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
          <ModelPanel />
        </form>
        <Stage />
      </main>
      <GalleryPanel />
    </div>
  );
}
