/** @file The names that --backend takes, and what each stands for. */
import { reference, webgpu, type BackendFactory } from 'calotype';

/** Names of backends. */
export const BACKENDS = ['auto', 'webgpu', 'software', 'reference'] as const;
export type BackendName = (typeof BACKENDS)[number];

/** The backends to try, in order. The reference is never taken unasked: a picture would take it hours. */
export function backendsOf(name: BackendName): readonly BackendFactory[] {
  switch (name) {
    case 'auto':
      return [webgpu({ adapter: 'hardware' }), webgpu({ adapter: 'software' })];
    case 'webgpu':
      return [webgpu({ adapter: 'hardware' })];
    case 'software':
      return [webgpu({ adapter: 'software' })];
    case 'reference':
      return [reference()];
  }
}
