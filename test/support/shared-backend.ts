/** @file One device for all pipelines that would open their own, so that its kernels are compiled once. */
import type { Backend, BackendFactory } from '../../src/backends/backend.ts';

/** A factory whose pipelines share a device, which none of them disposes. */
export function sharedBackend(
  factory: BackendFactory,
): BackendFactory & { readonly dispose: () => Promise<void> } {
  let opened: ReturnType<BackendFactory['open']> | undefined;
  const kept = (backend: Backend): Backend => ({ ...backend, dispose: () => undefined });
  return {
    name: factory.name,
    async open() {
      opened ??= factory.open();
      const backend = await opened;
      return 'reason' in backend ? backend : kept(backend);
    },
    async dispose() {
      const backend = await opened;
      if (backend && !('reason' in backend)) backend.dispose();
    },
  };
}
