/** @file The backends that tests can run on this machine; those that are missing are named with the reason. */

import { cpu, reference, webgpu, type BackendFactory } from '../../src/index.ts';

/** A backend to test. */
export interface PresentBackend {
  readonly name: string;
  readonly factory: BackendFactory;
}

/** All backends that open here. Prints why the others were left out. */
export async function presentBackends(): Promise<PresentBackend[]> {
  const candidates: PresentBackend[] = [
    { name: 'reference', factory: reference() },
    { name: 'cpu', factory: cpu() },
    { name: 'webgpu', factory: webgpu({ adapter: 'any' }) },
  ];
  const present: PresentBackend[] = [];
  for (const candidate of candidates) {
    const opened = await candidate.factory.open();
    if ('reason' in opened)
      process.stderr.write(`skipped: backend ${opened.backend}: ${opened.reason} (${opened.remedy})\n`);
    else {
      opened.dispose();
      present.push(candidate);
    }
  }
  return present;
}
