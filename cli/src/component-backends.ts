/** @file --component-backend and --component-budget: components of a model on other backends than the rest. */
import { cpu, OptionError, reference, webgpu, type BackendFactory, type ComponentName } from 'calotype';
import { cuda } from 'calotype/node';
import { listOf } from './arguments.ts';
import { isCard, readCard } from './card.ts';
import { suggest } from './options.ts';

/** Components by the names that the options take. */
const COMPONENTS = {
  unet: 'unet',
  vae: 'vae',
  'text-encoder': 'textEncoder',
  'text-encoder-2': 'textEncoder2',
  'image-encoder': 'imageEncoder',
} as const satisfies Readonly<Record<string, ComponentName>>;

/** Backends by name; that of NVIDIA cards may have a number or a UUID. */
const BACKENDS: Readonly<Record<string, (card: string | undefined) => BackendFactory>> = {
  cuda: (card) => cuda(card === undefined ? {} : { device: readCard('--component-backend', card) }),
  webgpu: () => webgpu(),
  cpu: () => cpu(),
  reference: () => reference(),
};

/** The argument, for the commands that load whole models. */
export const COMPONENT_ARGS = {
  'component-backend': {
    type: 'string',
    valueHint: 'component=backend',
    description: `Components on other backends, such as vae=cpu,text-encoder=cuda:1: ${Object.keys(COMPONENTS).join(', ')}`,
  },
} as const;

/** `component=value` with commas between them. Throws OptionError for what is none, and for a component that comes twice. */
export function readByComponent(
  option: string,
  text: string | undefined,
  example: string,
): ReadonlyMap<ComponentName, string> {
  const names = Object.keys(COMPONENTS);
  const values = new Map<ComponentName, string>();
  for (const entry of listOf(text)) {
    const [, name = '', value] = /^([^=]*)=(.+)$/.exec(entry) ?? [];
    const component = isComponent(name) ? COMPONENTS[name] : undefined;
    if (component === undefined || value === undefined || values.has(component))
      throw new OptionError(
        component && value !== undefined ? `${name} comes twice` : `'${entry}' names no component`,
        {
          field: option,
          remedy: `${suggest(name, names)}Give ${option} ${example}; there are ${names.join(', ')}.`,
        },
      );
    values.set(component, value);
  }
  return values;
}

/** What `readByComponent` reads. */
export function formatByComponent(values: Readonly<Partial<Record<ComponentName, number | string>>>): string {
  return Object.entries(COMPONENTS)
    .flatMap(([name, component]) =>
      values[component] === undefined ? [] : [`${name}=${String(values[component])}`],
    )
    .join(',');
}

function isComponent(name: string): name is keyof typeof COMPONENTS {
  return Object.hasOwn(COMPONENTS, name);
}

/** Backends by component, as they were named: `cpu`, `cuda:1`. */
export type ComponentChoices = ReadonlyMap<ComponentName, string>;

/** @throws OptionError naming what is wrong */
export function readComponentBackends(args: Readonly<Record<string, unknown>>): ComponentChoices {
  const option = 'component-backend';
  const text = args[option];
  const choices = readByComponent(
    `--${option}`,
    typeof text === 'string' ? text : undefined,
    'vae=cpu,text-encoder=cuda:1',
  );
  for (const name of choices.values()) backendNamed(name);
  return choices;
}

/** The library's option `componentBackends` with a backend for each. */
export type ComponentFactories = { readonly [Component in ComponentName]?: BackendFactory };

/** The library's option. A backend that is named for several components is one. */
export function componentBackendsOf(choices: ComponentChoices): ComponentFactories {
  const made = new Map([...new Set(choices.values())].map((name) => [name, backendNamed(name)]));
  return Object.fromEntries([...choices].map(([component, name]) => [component, made.get(name)]));
}

function backendNamed(text: string): BackendFactory {
  const [, name = '', card] = /^([a-z]+)(?::(.+))?$/.exec(text) ?? [];
  const make = Object.hasOwn(BACKENDS, name) ? BACKENDS[name] : undefined;
  if (make && (card === undefined || (name === 'cuda' && isCard(card)))) return make(card);
  throw new OptionError(`'${text}' is no backend`, {
    field: '--component-backend',
    remedy: `${suggest(name, Object.keys(BACKENDS))}It takes ${Object.keys(BACKENDS).join(', ')}, and cuda:1 or cuda:UUID for a card.`,
  });
}
