/** @file The option `componentBackends`: components of a pipeline on backends of their own. */

import { asList } from '../../as-list.ts';
import type { Backend, BackendFactory } from '../../backends/backend.ts';
import { OptionError, type BackendAttempt } from '../../errors.ts';
import { checkComponentNames } from './component-names.ts';
import { openBackend } from './open-backend.ts';
import { COMPONENT_NAMES, Placement, type ComponentName } from './placement.ts';

/**
 * Backends by component: one, or several of which the first that works is taken. The second text encoder and the image
 * encoder of IP-Adapters are where the (first) text encoder is unless they are named; what else is not named is on the
 * pipeline's `backends`. A value that is given for several components is opened once, so that they share its device.
 */
export type ComponentBackends = {
  readonly [Component in ComponentName]?: BackendFactory | readonly BackendFactory[];
};

/** What a component without a value of its own goes with. */
const GOES_WITH: Readonly<Partial<Record<ComponentName, ComponentName>>> = {
  textEncoder2: 'textEncoder',
  imageEncoder: 'textEncoder',
};

/** How backends are opened. */
export interface OpenPlacementOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of each backend that is passed over, and for which components. */
  readonly onSkipped: (attempt: BackendAttempt, component: ComponentName | undefined) => void;
}

/**
 * Opens the backends of all components.
 * @param backends those of components that are not named
 * @throws OptionError for names and values that are none, before anything is opened; BackendUnavailableError naming the
 * component that there is no backend for, when those opened before are disposed of
 */
export async function openPlacement(
  backends: readonly BackendFactory[],
  option: ComponentBackends,
  { signal, onSkipped }: OpenPlacementOptions,
): Promise<Placement> {
  const named = readComponentBackends(option);
  const once = openedOnce();
  const opened = new Set<Backend>();
  const open = async (list: readonly BackendFactory[], component?: ComponentName): Promise<Backend> => {
    const backend = await openBackend(list.map(once), {
      signal,
      onSkipped: (attempt) => onSkipped(attempt, component),
      ...(component && { field: `componentBackends.${component}` }),
    });
    opened.add(backend);
    return backend;
  };
  try {
    const placed = new Map<ComponentName, Backend>();
    let rest: Backend | undefined;
    for (const component of COMPONENT_NAMES) {
      const list = named.get(component);
      const companion = GOES_WITH[component];
      const backend = list
        ? await open(list, component)
        : ((companion && placed.get(companion)) ?? (rest ??= await open(backends)));
      placed.set(component, backend);
    }
    const [first] = placed.values();
    return new Placement((component) => placed.get(component) ?? first);
  } catch (error) {
    for (const backend of opened) backend.dispose();
    throw error;
  }
}

/** The option, checked. */
function readComponentBackends(
  option: ComponentBackends,
): ReadonlyMap<ComponentName, readonly BackendFactory[]> {
  checkComponentNames('componentBackends', option);
  return new Map(
    COMPONENT_NAMES.flatMap((component): [ComponentName, readonly BackendFactory[]][] => {
      const value = option[component];
      if (value === undefined) return [];
      const list = asList<BackendFactory>(value);
      if (list.length === 0 || !list.every(isFactory))
        throw new OptionError('is no backend', {
          field: `componentBackends.${component}`,
          remedy: 'Give one, such as cpu() or webgpu(), or a list of them',
        });
      return [[component, list]];
    }),
  );
}

/** Backends are opened once for each factory, however many components name it. */
function openedOnce(): (factory: BackendFactory) => BackendFactory {
  const known = new Map<BackendFactory, ReturnType<BackendFactory['open']>>();
  return (factory) => ({
    name: factory.name,
    open: async (options) => {
      const opened = known.get(factory) ?? factory.open(options);
      known.set(factory, opened);
      return opened;
    },
  });
}

function isFactory(value: unknown): value is BackendFactory {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'open') === 'function';
}
