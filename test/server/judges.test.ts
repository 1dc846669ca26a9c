/** @file Judges from elsewhere: webuiapi, a client of stable-diffusion-webui's API, and schemathesis, which reads /openapi.json. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startServer } from './support.ts';

const run = promisify(execFile);
/** A Python that has webuiapi, and the program schemathesis; `.ci/run` installs both with CI=true. */
const { WEBUIAPI_PYTHON: python, SCHEMATHESIS: schemathesis } = process.env;
const CLIENT = fileURLToPath(new URL('webuiapi-judge.py', import.meta.url));

let server: Awaited<ReturnType<typeof startServer>>;
beforeAll(async () => {
  server = await startServer({ limits: { pixels: 64 * 64, pictures: 2 } });
});
afterAll(() => server.close());

it.skipIf(python === undefined)('webuiapi draws, paints, polls and stops (WEBUIAPI_PYTHON)', async () => {
  const { stdout } = await run(python ?? '', [CLIENT, new URL(server.url).port]);
  expect(stdout).toContain('webuiapi is content');
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
