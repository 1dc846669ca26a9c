/** @file Useful in ten lines: a prompt becomes a PNG, in Node and in Deno. */
import { writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DiffusionPipeline, encodePng } from 'calotype/node';

const model = dirname(fileURLToPath(import.meta.resolve('@calotype/emoji-starter/model_index.json')));
const [prompt = 'a red apple, 3D', size = '256', steps = '20'] = process.argv.slice(2);
const pipe = await DiffusionPipeline.fromPretrained(model);
for (const notice of pipe.notices) process.stderr.write(`${notice}\n`);
const options = { width: Number(size), height: Number(size), numInferenceSteps: Number(steps) };
const { images } = await pipe({ prompt, seed: 7, guidanceScale: 4, guidanceRescale: 0.7, ...options });
await writeFile('picture.png', await encodePng(images[0]));
await pipe.dispose();
