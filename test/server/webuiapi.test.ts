/** @file An independent client of stable-diffusion-webui's API, webuiapi for Python, against this one. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { startServer } from './support.ts';

/** A Python that has webuiapi; `.ci/run` makes one with CI=true. */
const python = process.env['WEBUIAPI_PYTHON'];
const JUDGE = fileURLToPath(new URL('webuiapi-judge.py', import.meta.url));

it.skipIf(python === undefined)('webuiapi draws, paints, polls and stops (WEBUIAPI_PYTHON)', async () => {
  const server = await startServer();
  const { port } = new URL(server.url);
  const { stdout } = await promisify(execFile)(python ?? '', [JUDGE, port]);
  expect(stdout).toContain('webuiapi is content');
  await server.close();
});
