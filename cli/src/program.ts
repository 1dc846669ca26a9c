/** @file What the command is made of; commands are loaded when they are run. */
import type { Program } from './command.ts';
import { version } from './version.ts';

export const program: Program = {
  meta: { name: 'calotype', version, description: 'Develops pictures from prompts with diffusion models' },
  commands: {
    generate: async () => (await import('./commands/generate.ts')).generate,
    serve: async () => (await import('./commands/serve.ts')).serve,
    worker: async () => (await import('./commands/worker.ts')).worker,
    inspect: async () => (await import('./commands/inspect.ts')).inspect,
    doctor: async () => (await import('./commands/doctor.ts')).doctor,
    bench: async () => (await import('./commands/bench.ts')).bench,
  },
};
