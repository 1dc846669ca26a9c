/**
 * @file Which backend each component of a pipeline is on. What components give each other (embeddings, latents, pictures)
 * goes through the host, so that they need not share a device.
 */

import type { Backend } from '../../backends/backend.ts';

/** Components that can be placed, by diffusers' names; `unet` is whichever network denoises, its ControlNets included. */
export const COMPONENT_NAMES = ['unet', 'vae', 'textEncoder', 'textEncoder2', 'imageEncoder'] as const;
/** A component's name. */
export type ComponentName = (typeof COMPONENT_NAMES)[number];

/** The backends of a pipeline's components. */
export class Placement {
  readonly #backendOf: (component: ComponentName) => Backend;

  /** @param backendOf gives the same object each time it is asked for a component */
  constructor(backendOf: (component: ComponentName) => Backend) {
    this.#backendOf = backendOf;
  }

  of(component: ComponentName): Backend {
    return this.#backendOf(component);
  }

  /** Each backend once, with the components on it; that of the network that denoises comes first. */
  get devices(): ReadonlyMap<Backend, readonly ComponentName[]> {
    const devices = new Map<Backend, ComponentName[]>();
    for (const component of COMPONENT_NAMES) {
      const backend = this.of(component);
      const components = devices.get(backend) ?? [];
      components.push(component);
      devices.set(backend, components);
    }
    return devices;
  }

  dispose(): void {
    for (const backend of this.devices.keys()) backend.dispose();
  }
}
