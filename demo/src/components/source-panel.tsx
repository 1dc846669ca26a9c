/** @file The picture to begin with, and the mask painted over it. */
import { useEffect, useRef } from 'preact/hooks';
import type { CalotypeImage } from 'calotype/worker';
import { show } from '../pictures.ts';
import { mask, setSource, source, takePicture } from '../studio.ts';
import { change, settings } from '../settings.ts';
import { FileField, NumberField, Panel } from './field.tsx';

/** Width of the brush, as a part of the picture's longer side. */
const BRUSH = 0.08;

export function SourcePanel() {
  const image = source.value;
  return (
    <Panel title={image ? 'Begins with a picture' : 'Begin with a picture'}>
      <FileField
        label="Picture (or drop one anywhere)"
        accept="image/*"
        onPick={([file]) => void takePicture(file)}
      />
      {image && (
        <>
          <Painter image={image} />
          <NumberField
            label="Strength"
            value={settings.value.strength}
            min={0}
            max={1}
            step={0.05}
            hint="How much of the picture may change"
            onChange={(value) => change({ strength: value })}
          />
          <div class="buttons">
            <button type="button" disabled={!mask.value} onClick={() => (mask.value = undefined)}>
              Clear mask
            </button>
            <button type="button" onClick={() => setSource(undefined)}>
              Remove picture
            </button>
          </div>
        </>
      )}
    </Panel>
  );
}

/** The picture with a layer to paint on; what is painted is drawn anew. */
function Painter({ image }: { readonly image: CalotypeImage }) {
  const below = useRef<HTMLCanvasElement>(null);
  const above = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (below.current) show(below.current, image);
  }, [image]);
  useEffect(() => {
    if (mask.value || !above.current) return;
    above.current.width = image.width;
    above.current.height = image.height;
  }, [image, mask.value]);

  const paint = (event: PointerEvent): void => {
    const canvas = above.current;
    const context = canvas?.getContext('2d');
    if (!canvas || !context || event.buttons === 0) return;
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * canvas.width;
    const y = ((event.clientY - box.top) / box.height) * canvas.height;
    context.fillStyle = '#fff';
    context.beginPath();
    context.arc(x, y, (Math.max(canvas.width, canvas.height) * BRUSH) / 2, 0, 2 * Math.PI);
    context.fill();
  };
  const take = (): void => {
    const context = above.current?.getContext('2d');
    if (!context) return;
    const { width, height, data } = context.getImageData(0, 0, image.width, image.height);
    // Painted or not is in the alpha; a mask is white where it is painted, and opaque.
    const pixels = new Uint8ClampedArray(data.length);
    for (let i = 0; i < data.length; i += 4) pixels.fill(data[i + 3], i, i + 3).fill(255, i + 3, i + 4);
    mask.value = { width, height, data: pixels };
  };
  return (
    <figure class="painter">
      <canvas ref={below} aria-hidden="true" />
      <canvas
        ref={above}
        aria-label="Paint here what is to be drawn anew"
        role="img"
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          paint(event);
        }}
        onPointerMove={paint}
        onPointerUp={take}
      />
      <figcaption>
        {mask.value ? 'Only what is painted white is drawn anew.' : 'Paint over a part to change only that.'}
      </figcaption>
    </figure>
  );
}
