/**
 * @file A device that is lost under a picture, or has no memory for it: the worker's host opens the model on a new one, and
 * draws the picture there, or says what to change.
 */
import { afterEach, expect, test, vi } from 'vitest';
import type * as acquire from '../../src/backends/webgpu/acquire.ts';
import { webgpu } from '../../src/index.ts';
import { WorkerHost } from '../../src/worker/host.ts';
import type { FromWorker, ToWorker, WorkerOutput } from '../../src/worker/protocol.ts';
import { fixturePath } from '../support/fixtures.ts';
import { pickedFolder } from '../support/worker.ts';

/** Every device that was opened, in order. */
const devices: GPUDevice[] = [];
vi.mock('../../src/backends/webgpu/acquire.ts', async (importOriginal) => {
  const original = await importOriginal<typeof acquire>();
  return {
    ...original,
    acquireDevice: async (...args: Parameters<typeof acquire.acquireDevice>) => {
      const opened = await original.acquireDevice(...args);
      if (!('reason' in opened)) devices.push(opened.gpu);
      return opened;
    },
  };
});
afterEach(() => vi.restoreAllMocks());

const adapter = await webgpu({ adapter: 'software' }).open();
const missing = 'reason' in adapter ? adapter.reason : undefined;
if ('reason' in adapter) process.stderr.write(`skipped: lost devices: ${adapter.reason}\n`);
else adapter.dispose();

/** As the browser's: told by its name, since the class is no global everywhere. */
class GPUOutOfMemoryError implements GPUError {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

const DRAW = { prompt: 'a red apple', numInferenceSteps: 4, height: 32, width: 32 };

/** Hears of what a request does before it is answered. */
interface Listener {
  onStep?(index: number): void;
  onProgress?(): void;
}

/** Asks a host. */
function askHost(): (request: ToWorker, listener?: Listener) => Promise<unknown> {
  const waiting = new Map<number, { settle(message: FromWorker): void; readonly listener: Listener }>();
  const host = new WorkerHost((message) => {
    const asked = waiting.get(message.id);
    if ('step' in message) asked?.listener.onStep?.(message.step.index);
    else if ('progress' in message) asked?.listener.onProgress?.();
    else asked?.settle(message);
  });
  return (request, listener = {}) =>
    new Promise((resolve, reject) => {
      if (!('id' in request)) throw new RangeError('only requests are asked here');
      waiting.set(request.id, {
        listener,
        settle: (message) =>
          'gives' in message
            ? resolve(message.gives)
            : reject(new Error('failed' in message ? message.failed.message : 'no answer')),
      });
      host.receive(request);
    });
}

test.skipIf(missing)(
  'is replaced by another, which draws the same picture',
  { timeout: 240_000 },
  async () => {
    const ask = askHost();
    await ask({
      id: 1,
      call: 'load',
      takes: {
        model: await pickedFolder(fixturePath('pipelines/tiny-sd')),
        options: { backends: ['webgpu-software'] },
      },
    });
    // No room: it says what to do, and the next picture begins with nothing taken.
    devices.at(-1)!.popErrorScope = () => Promise.resolve(new GPUOutOfMemoryError('no room'));
    const tooLarge = ask({ id: 6, call: 'draw', takes: { ...DRAW, seed: 7 } });
    await expect(tooLarge).rejects.toThrow(/not enough memory for .*: no room. Use a smaller size/);

    const opened = devices.length + 1;
    const steps: number[] = [];
    // The host answers a request to draw with its output.
    const onStep = (index: number): void => {
      steps.push(index);
      if (index === 1 && devices.length === opened) devices.at(-1)?.destroy();
    };
    const lost = (await ask(
      { id: 2, call: 'draw', takes: { ...DRAW, seed: 7 } },
      { onStep },
    )) as WorkerOutput;
    expect(lost.recoveredFrom).toMatch(/GPU device was lost/);
    // It went on behind a step whose latents had come back before the device went: the last one may be done again, but not all.
    const recoveredAt = lost.recoveredAt ?? 0;
    expect(recoveredAt).toBeGreaterThanOrEqual(1);
    const before = steps.slice(0, steps.length - (4 - recoveredAt));
    expect(steps.slice(before.length)).toEqual([0, 1, 2, 3].slice(recoveredAt));
    expect(before).toEqual([...before.keys()]);
    expect(before.length).toBeGreaterThanOrEqual(recoveredAt);
    expect(devices.length).toBe(opened + 1);

    // It stays usable, and what was drawn is what is drawn undisturbed.
    const whole = (await ask({ id: 3, call: 'draw', takes: { ...DRAW, seed: 7 } })) as WorkerOutput;
    expect(whole.recoveredFrom).toBeUndefined();
    expect(lost.images[0].data).toEqual(whole.images[0].data);

    // A device that is lost each time is not asked for ever: the first in a step, the next while its kernels are compiled.
    const lose = (): void => devices.at(-1)?.destroy();
    const failing = ask({ id: 4, call: 'draw', takes: DRAW }, { onStep: lose, onProgress: lose });
    await expect(failing).rejects.toThrow(/GPU device was lost.*use a smaller size/s);
    await ask({ id: 5, call: 'dispose', takes: undefined });
  },
);
