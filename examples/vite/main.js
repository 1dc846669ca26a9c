/** @file A page that draws: calotype works in a worker of its own, and the page only shows what comes. */
import { DiffusionWorker } from 'calotype/worker';

const worker = new DiffusionWorker();
const element = (id) => document.getElementById(id);
const say = (text) => (element('status').textContent = text);

function show({ width, height, data }) {
  const canvas = element('picture');
  Object.assign(canvas, { width, height });
  canvas.getContext('2d').putImageData(new ImageData(data, width, height), 0, 0);
}

/** Loads the model with the first picture; `?size=64&steps=2` makes a quick one. */
async function draw() {
  const query = new URLSearchParams(location.search);
  const size = Number(query.get('size') ?? 256);
  const { backend } = (await loaded) ?? {};
  const { images } = await worker.draw(
    {
      prompt: element('prompt').value,
      seed: 7,
      width: size,
      height: size,
      numInferenceSteps: Number(query.get('steps') ?? 20),
      guidanceScale: 4,
      guidanceRescale: 0.7,
      previews: true,
    },
    {
      onStep: ({ index, total, previews }) => {
        say(`Step ${index + 1} of ${total}`);
        if (previews[0]) show(previews[0]);
      },
    },
  );
  show(images[0]);
  say(`Drawn by ${backend.description}`);
}

const loaded = worker.load(
  new URL('model', document.baseURI).href,
  {},
  {
    onProgress: ({ item, done, total }) => say(`${item}: ${done} of ${total}`),
  },
);
element('draw').addEventListener('click', () => draw().catch((error) => say(error.message)));
