'use client';

/** @file A page that the server renders and the browser draws on: the import does nothing, the worker starts with the first click. */
import { DiffusionWorker } from 'calotype/worker';
import { useRef, useState } from 'react';

export default function Page() {
  const canvas = useRef(null);
  const worker = useRef(null);
  const [prompt, setPrompt] = useState('a red apple, 3D');
  const [status, setStatus] = useState('');

  async function draw() {
    if (!worker.current) {
      worker.current = new DiffusionWorker();
      const onProgress = ({ item, done, total }) => setStatus(`${item}: ${done} of ${total}`);
      await worker.current.load('stabilityai/sd-turbo', {}, { onProgress });
    }
    const { images } = await worker.current.draw(
      { prompt, numInferenceSteps: 1, guidanceScale: 0 },
      { onStep: ({ index, total }) => setStatus(`Step ${index + 1} of ${total}`) },
    );
    const [{ width, height, data }] = images;
    Object.assign(canvas.current, { width, height });
    canvas.current.getContext('2d').putImageData(new ImageData(data, width, height), 0, 0);
    setStatus('Done');
  }

  return (
    <main>
      <label>
        Prompt <input value={prompt} onChange={(event) => setPrompt(event.target.value)} />
      </label>
      <button type="button" onClick={() => draw().catch((error) => setStatus(error.message))}>
        Draw
      </button>
      <p role="status">{status}</p>
      <canvas ref={canvas} />
    </main>
  );
}
