/** @file The memory of one pipeline: a budget for each device that its components are on. */

import { OptionError } from '../../errors.ts';
import { sum } from '../../plan/demand.ts';
import type { Phase, PhaseDemand } from '../../plan/residency.ts';
import type { CallShape } from '../call-shape.ts';
import type { TextToImageParts } from '../draw.ts';
import type { ComponentName, Placement } from '../load/placement.ts';
import type { CheckedOptions } from '../options/call-options.ts';
import type { Conditioner } from '../prompt/conditioning.ts';
import { phasesOf, textPhase } from './call-memory.ts';
import { DeviceResidency, type Component, type DeviceBudget } from './device-residency.ts';
import type { MemoryBudget } from './memory-option.ts';
import { reportPlan, type MemoryReport } from './memory-report.ts';

/** Keeps a pipeline's calls within its budgets. */
export class Residency {
  readonly budget: MemoryBudget;
  /** Those of the device that denoises, and of the others. */
  readonly #first: DeviceResidency;
  readonly #others: readonly DeviceResidency[];

  /** Throws OptionError where two budgets are named for one device. */
  constructor(
    budget: MemoryBudget,
    placement: Placement,
    components: readonly Component[],
    onNotice: (notice: string) => void,
  ) {
    this.budget = budget;
    const [first, ...others] = [...placement.devices].map(([backend, placed]) => {
      const placedHere = components.filter(({ network }) => network.backend === backend);
      const byName = new Map(placedHere.map((component) => [component.network.name, component]));
      const own = { ...budgetOf(budget, placed), hostBytes: budget.hostBytes / placement.devices.size };
      return new DeviceResidency(own, backend, byName, onNotice);
    });
    this.#first = first;
    this.#others = others;
  }

  /** A component that comes after the model is kept within its device's budget from now on. */
  add(component: Component): void {
    this.#deviceOf(component)?.add(component);
  }

  /** A component that goes. */
  remove(component: Component): void {
    this.#deviceOf(component)?.remove(component);
  }

  #deviceOf({ network }: Component): DeviceResidency | undefined {
    return [this.#first, ...this.#others].find(({ backend }) => backend === network.backend);
  }

  /** What a call would take. Throws OutOfMemoryError naming the smallest budget that works; nothing is allocated. */
  report(parts: TextToImageParts, call: CallShape): MemoryReport {
    const phases = phasesOf(parts, call);
    const reportOf = (device: DeviceResidency) => {
      const plan = device.plan(phases);
      return reportPlan(device.backend.name, plan, device.hostBytes(plan));
    };
    return { ...reportOf(this.#first), others: this.#others.map(reportOf) };
  }

  /**
   * Plans a call that begins now; throws what `report` throws.
   * @param tokens of its text embeddings; default what is known before prompts are encoded
   */
  beginCall(parts: TextToImageParts, call: CallShape, tokens?: number): Promise<void> {
    return this.#begin(phasesOf(parts, call, tokens));
  }

  /** Plans to encode prompts, and no more. */
  beginText(conditioner: Conditioner, options: Pick<CheckedOptions, 'clipSkip'>): Promise<void> {
    return this.#begin([textPhase(conditioner, options)]);
  }

  async #begin(phases: readonly PhaseDemand[]): Promise<void> {
    const planned = [this.#first, ...this.#others].map((device) => ({ device, plan: device.plan(phases) }));
    for (const { device, plan } of planned) await device.begin(plan);
  }

  /** Bytes of tensors that the host holds for components that are not on their devices all the time. */
  get cachedBytes(): number {
    return sum([this.#first, ...this.#others].map((device) => device.cachedBytes));
  }

  /** Makes room for a phase of the call. */
  async enter(phase: Phase, signal: AbortSignal | undefined): Promise<void> {
    for (const device of [this.#first, ...this.#others]) await device.enter(phase, signal);
  }
}

/** The budget of a device with these components on it. */
function budgetOf(
  { bytes, componentBytes }: MemoryBudget,
  placed: readonly ComponentName[],
): Omit<DeviceBudget, 'hostBytes'> {
  const named = placed.filter((component) => componentBytes.has(component));
  const first = named.at(0);
  if (first === undefined) return { bytes, field: 'memory.budget' };
  const own = componentBytes.get(first) ?? bytes;
  const other = named.find((component) => componentBytes.get(component) !== own);
  if (other !== undefined)
    throw new OptionError(`differs from that of ${first}, which is on the same device`, {
      field: `memory.componentBudgets.${other}`,
      remedy: 'Give one of them for both, or put them on devices of their own with componentBackends',
    });
  return { bytes: own, field: `memory.componentBudgets.${first}` };
}
