/** @file What a plan takes on a device, known before anything is allocated: what memory is planned from. */

/** A weight in the layout that a kernel wants. */
export interface WeightDemand {
  /** What backends know it by; programs that name one key share its bytes. */
  readonly key: string;
  readonly bytes: number;
  /** What it takes where it may be held as float8 without changing its values. */
  readonly float8Bytes?: number;
  /** Indices of the plan's dispatches that read it, ascending; none for an output that is a weight itself. */
  readonly dispatches: readonly number[];
}

/** Bytes that a program takes. */
export interface PlanDemand {
  /** What it takes for itself: its arena, and what its launches are recorded in. */
  readonly workBytes: number;
  /** Tensors that programs of one network share by name. */
  readonly tensors: readonly { readonly name: string; readonly bytes: number }[];
  readonly weights: readonly WeightDemand[];
  /** What loading the weights takes besides, for a while. */
  readonly loadBytes: number;
}

/** Each weight of some programs once. */
export function weightsOf(programs: readonly PlanDemand[]): WeightDemand[] {
  return [
    ...new Map(programs.flatMap(({ weights }) => weights.map((weight) => [weight.key, weight]))).values(),
  ];
}

/** What programs of one network take together besides weights. */
export function workOf(programs: readonly PlanDemand[]): number {
  const tensors = new Map<string, number>();
  for (const { name, bytes } of programs.flatMap((program) => program.tensors))
    tensors.set(name, Math.max(bytes, tensors.get(name) ?? 0));
  return sum([...tensors.values()]) + sum(programs.map(({ workBytes }) => workBytes));
}

/** The demand of programs of which there is one at a time, with the weights of all. */
export function eitherOf(programs: readonly PlanDemand[]): PlanDemand {
  const most = (of: (program: PlanDemand) => number): number => Math.max(0, ...programs.map(of));
  return {
    workBytes: most((program) => workOf([program])),
    tensors: [],
    weights: weightsOf(programs),
    loadBytes: most(({ loadBytes }) => loadBytes),
  };
}

/** Sum of numbers. */
export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
