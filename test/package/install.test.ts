/**
 * @file The examples as strangers run them: packages are packed, installed into empty projects with install scripts
 * blocked, and draw a picture in Node, Deno, a page that Vite bundled, and by the command and its server. It needs the npm registry, so it runs with CI=true.
 */
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cpu, decodePng, DiffusionPipeline } from '../../src/index.ts';
import { findExecutable, firstMissing, type Found } from '../support/executables.ts';
import { STARTER } from '../support/fixtures.ts';
import { startServing } from '../server/command.ts';
import { pack, type PackageName } from '../support/packages.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url));
const registry: Found =
  process.env['CI'] === 'true' ? { path: 'npm' } : { missing: 'the npm registry is used with CI=true only' };
const missing = firstMissing('packages in empty projects', registry);
const answerSchema = v.object({ data: v.tuple([v.object({ b64_json: v.string() })]) });
/** Small, and the same everywhere. */
const [PROMPT, SIZE, STEPS] = ['a red apple, 3D', 64, 2];
const MINUTES = 240_000;

const run = (
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<{ stdout: string; stderr: string }> =>
  promisify(execFile)(program, args, { cwd, maxBuffer: 1 << 24 });

describe.skipIf(missing)(`empty projects${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let folder: string;
  let project: string;
  let expected: Uint8ClampedArray;
  let tarballs: string[] = [];
  const packAll = (names: readonly PackageName[]): Promise<string[]> =>
    Promise.all(names.map(async (name) => (await pack(name, folder)).tarball));
  const install = (cwd: string, packages: readonly string[]) =>
    run(
      'npm',
      ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', ...packages],
      cwd,
    );

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'calotype-install-'));
    tarballs = await packAll(['calotype', '@calotype/emoji-starter']);
    project = join(folder, 'node');
    await mkdir(project);
    await writeFile(join(project, 'package.json'), '{ "private": true }');
    await cp(join(EXAMPLES, 'node/draw.mjs'), join(project, 'draw.mjs'));
    await install(project, tarballs);
    const pipe = await DiffusionPipeline.fromPretrained(STARTER, { backends: [cpu()] });
    const { images } = await pipe({
      prompt: PROMPT,
      seed: 7,
      width: SIZE,
      height: SIZE,
      numInferenceSteps: STEPS,
      guidanceScale: 4,
      guidanceRescale: 0.7,
    });
    expected = images[0].data;
    await pipe.dispose();
  }, MINUTES);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** The example's picture is the one that the sources draw. */
  const expectPicture = async (path: string): Promise<void> => {
    const { image } = decodePng(new Uint8Array(await readFile(path)), path);
    expect(image.width).toBe(SIZE);
    // Builds of WebAssembly that round differently may differ by a level.
    const worst = image.data.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
    expect(worst).toBeLessThanOrEqual(1);
  };
  const args = ['draw.mjs', PROMPT, String(SIZE), String(STEPS)];

  const nodes: Record<string, Found> = {
    [process.version]: { path: process.execPath },
    NODE_22: findExecutable('NODE_22', ['node22']),
    NODE_24: findExecutable('NODE_24', ['node24']),
  };
  for (const [name, node] of Object.entries(nodes)) {
    const lacking = missing ?? firstMissing(`Node ${name}`, node);
    test.skipIf(lacking)(
      `Node ${name}${lacking ? ` (skipped: ${lacking})` : ''}`,
      { timeout: MINUTES },
      async () => {
        if ('missing' in node) throw new Error('this test is skipped');
        const { stderr } = await run(node.path, args, project);
        // It says why no GPU was looked for, and what to install.
        expect(stderr).toMatch(/webgpu is not used: .*npm install webgpu/);
        await expectPicture(join(project, 'picture.png'));
      },
    );
  }

  const deno = findExecutable('DENO', ['deno']);
  const noDeno = missing ?? firstMissing('the installed package in Deno', deno);
  test.skipIf(noDeno)(`Deno${noDeno ? ` (skipped: ${noDeno})` : ''}`, { timeout: MINUTES }, async () => {
    if ('missing' in deno) throw new Error('this test is skipped');
    await rm(join(project, 'picture.png'), { force: true });
    await run(deno.path, ['run', '-A', '--node-modules-dir=manual', ...args], project);
    await expectPicture(join(project, 'picture.png'));
  });

  describe('with the command, the server and the CUDA backend', () => {
    const command = (): string => join(project, 'node_modules/@calotype/cli/bin/calotype.js');
    beforeAll(async () => {
      const others = [
        '@calotype/cli',
        '@calotype/server',
        '@calotype/cuda',
        '@calotype/cuda-linux-x64',
      ] as const;
      // The software adapter is optional, and large.
      await install(project, ['--omit=optional', ...tarballs, ...(await packAll(others))]);
    }, MINUTES);

    for (const [name, node] of Object.entries(nodes)) {
      const lacking = missing ?? firstMissing(`the command in Node ${name}`, node);
      test.skipIf(lacking)(
        `calotype generate, in Node ${name}${lacking ? ` (skipped: ${lacking})` : ''}`,
        { timeout: MINUTES },
        async () => {
          if ('missing' in node) throw new Error('this test is skipped');
          const options = [
            '--size',
            `${SIZE}x${SIZE}`,
            '--steps',
            String(STEPS),
            '--seed',
            '7',
            '--backend',
            'cpu',
          ];
          await run(node.path, [command(), 'generate', PROMPT, '-o', 'made.png', ...options], project);
          await expectPicture(join(project, 'made.png'));
          await rm(join(project, 'made.png'));
        },
      );
    }

    test.skipIf(missing)('npx finds it; calotype serve answers', { timeout: MINUTES }, async () => {
      const { stdout } = await run('npx', ['--no-install', 'calotype', '--version'], project);
      expect(stdout).toMatch(/^\d+\.\d+\.\d+/);
      const server = await startServing(command(), []);
      const answer = await fetch(`${server.url}/v1/images/generations`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: PROMPT, size: `${SIZE}x${SIZE}`, steps: STEPS, seed: 7 }),
      });
      const { data } = v.parse(answerSchema, await answer.json());
      await writeFile(join(project, 'served.png'), Buffer.from(data[0].b64_json, 'base64'));
      await expectPicture(join(project, 'served.png'));
      const ended = once(server.process, 'exit');
      server.process.kill('SIGTERM');
      await ended;
    });

    test.skipIf(missing)('@calotype/cuda says what it lacks, or that it lacks nothing', async () => {
      const script = `import { cuda } from '@calotype/cuda';
        const opened = await cuda().open();
        console.log('reason' in opened ? opened.reason + '. ' + opened.remedy : opened.description);
        if (!('reason' in opened)) opened.dispose();`;
      await writeFile(join(project, 'cuda.mjs'), script);
      const { stdout } = await run(process.execPath, ['cuda.mjs'], project);
      // Its native half is there and was read: what may be missing is the driver or the card.
      expect(stdout).toMatch(process.platform === 'linux' ? /driver|NVIDIA|CUDA/i : /\w/);
      expect(stdout).not.toMatch(/npm install/);
    });
  });

  const browser = findExecutable('CHROMIUM', ['chromium', 'chromium-browser', 'google-chrome']);
  const noBrowser = missing ?? firstMissing('the page that Vite bundles', browser);
  test.skipIf(noBrowser)(
    `Vite${noBrowser ? ` (skipped: ${noBrowser})` : ''}`,
    { timeout: MINUTES },
    async () => {
      if ('missing' in browser) throw new Error('this test is skipped');
      const page = join(folder, 'vite');
      await cp(join(EXAMPLES, 'vite'), page, { recursive: true });
      await install(page, tarballs);
      execFileSync(process.execPath, ['node_modules/vite/bin/vite.js', 'build', '--logLevel', 'error'], {
        cwd: page,
      });
      const { preview } = await import('vite');
      const server = await preview({ root: page, logLevel: 'error', preview: { port: 0 } });
      const opened = await chromium.launch({ executablePath: browser.path, chromiumSandbox: false });
      try {
        const tab = await opened.newPage();
        await tab.goto(`${server.resolvedUrls?.local[0] ?? ''}?size=${SIZE}&steps=${STEPS}`);
        await tab.getByRole('button', { name: 'Draw' }).click();
        await tab.getByText(/^Drawn by WebAssembly/).waitFor({ timeout: MINUTES });
        const pixels: unknown = await tab.evaluate(
          `[...document.getElementById('picture').getContext('2d').getImageData(0, 0, ${SIZE}, ${SIZE}).data]`,
        );
        if (!Array.isArray(pixels)) throw new Error('the canvas gave no pixels');
        const worst = expected.reduce(
          (most, value, i) => Math.max(most, Math.abs(value - Number(pixels[i]))),
          0,
        );
        expect(worst).toBeLessThanOrEqual(1);
      } finally {
        await opened.close();
        await server.close();
      }
    },
  );
});
