/** @file Judges from elsewhere: webuiapi, a client of stable-diffusion-webui's API, and schemathesis, which reads /openapi.json. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cpu, decodePng, DiffusionPipeline, EulerAncestralDiscreteScheduler } from '../../src/index.ts';
import { type Controlled, writeControlled } from './controlled.ts';
import { localRunner, startServer } from './support.ts';

const run = promisify(execFile);
/** A Python that has webuiapi, and the program schemathesis; `.ci/run` installs both with CI=true. */
const { WEBUIAPI_PYTHON: python, SCHEMATHESIS: schemathesis } = process.env;
const CLIENT = fileURLToPath(new URL('webuiapi-judge.py', import.meta.url));

let offered: Controlled;
let server: Awaited<ReturnType<typeof startServer>>;
beforeAll(async () => {
  offered = await writeControlled();
  const { models, controlnets, ipAdapters } = offered;
  server = await startServer({
    ...offered,
    runners: [localRunner({ models, controlnets, ipAdapters })],
    limits: { pixels: 64 * 64, pictures: 2 },
  });
});
afterAll(async () => {
  await server.close();
  await offered.remove();
});

it.skipIf(python === undefined)('webuiapi draws, paints, polls and stops (WEBUIAPI_PYTHON)', async () => {
  const { stdout } = await run(python ?? '', [CLIENT, new URL(server.url).port]);
  const [, control = '', drawn = ''] = /^control (\S+)\ndrawn (\S+)$/m.exec(stdout) ?? [];
  const [controlImage, seen] = [control, drawn].map((png) => decodePng(Buffer.from(png, 'base64')).image);
  const { models, controlnets } = offered;
  const pipe = await DiffusionPipeline.fromPretrained(models[0].source, {
    controlnet: controlnets[0].source,
    backends: [cpu({ threads: 2 })],
  });
  pipe.scheduler = EulerAncestralDiscreteScheduler.fromConfig(pipe.scheduler.config);
  const { images } = await pipe({
    prompt: ['a fox'],
    negativePrompt: [''],
    promptSyntax: 'webui',
    seed: [{ seed: 5, device: 'cuda' }],
    numInferenceSteps: 2,
    guidanceScale: 4,
    width: 64,
    height: 64,
    controlImage,
    controlnetConditioningScale: 1.5,
  });
  await pipe.dispose();
  expect(seen.data).toEqual(images[0].data);
});

it.skipIf(schemathesis === undefined)(
  'answers what schemathesis makes up as documented (SCHEMATHESIS)',
  async () => {
    const checks = 'not_a_server_error,status_code_conformance,response_schema_conformance';
    const effort = ['--phases', 'coverage', '--max-time', '15', '--seed', '1'];
    // It keeps what it found where it is run.
    const cwd = await mkdtemp(join(tmpdir(), 'calotype-schemathesis-'));
    const args = ['run', `${server.url}/openapi.json`, '--checks', checks, ...effort];
    const asked = run(schemathesis ?? '', args, { cwd });
    // What it found is in its output.
    const { stdout } = await asked.catch((error: { readonly stdout?: string }) => ({
      stdout: error.stdout ?? '',
    }));
    await rm(cwd, { recursive: true });
    expect(stdout).not.toContain('Failures:');
    expect(stdout).toMatch(/Tested: +[1-9]/);
  },
);
