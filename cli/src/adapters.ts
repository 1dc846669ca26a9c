/** @file What WebGPU adapters this process can see, with the settings that the library uses. */
import { findGpu } from 'calotype';

/** One adapter, in plain data. */
export interface AdapterFacts {
  readonly kind: 'hardware' | 'software';
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly f16: boolean;
  /** Smallest and largest subgroup, or undefined without subgroups. */
  readonly subgroups: readonly [number, number] | undefined;
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
}

/** What was found, or why nothing could be asked. */
export interface AdapterSurvey {
  readonly adapters: readonly AdapterFacts[];
  /** Why Dawn itself could not be loaded. */
  readonly problem: string | undefined;
}

/** Lists the adapters that Dawn offers for high performance, for low power and as a fallback. */
export async function surveyAdapters(): Promise<AdapterSurvey> {
  const entry = await findGpu();
  if ('reason' in entry) return { adapters: [], problem: entry.reason };
  const found = new Map<string, AdapterFacts>();
  const requests: readonly GPURequestAdapterOptions[] = [
    { powerPreference: 'high-performance' },
    { powerPreference: 'low-power' },
    { forceFallbackAdapter: true },
  ];
  for (const request of requests) {
    const adapter = await entry.gpu.requestAdapter(request);
    if (adapter) {
      const facts = factsOf(adapter);
      found.set(`${facts.kind} ${facts.name}`, facts);
    }
  }
  return { adapters: [...found.values()], problem: undefined };
}

function factsOf(adapter: GPUAdapter): AdapterFacts {
  const { info, features, limits } = adapter;
  return {
    kind: info.isFallbackAdapter ? 'software' : 'hardware',
    name: info.description || info.device || 'unnamed adapter',
    vendor: info.vendor,
    architecture: info.architecture,
    f16: features.has('shader-f16'),
    subgroups: features.has('subgroups') ? subgroupsOf(info) : undefined,
    maxBufferSize: limits.maxBufferSize,
    maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
  };
}

function subgroupsOf({
  subgroupMinSize,
  subgroupMaxSize,
}: GPUAdapterInfo): readonly [number, number] | undefined {
  if (subgroupMinSize === undefined || subgroupMaxSize === undefined) return undefined;
  return [subgroupMinSize, subgroupMaxSize];
}
