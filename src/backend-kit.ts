/**
 * @file What a backend in a package of its own is built on: `calotype/backend-kit`.
 *
 * A backend is a `BackendFactory` that users put into the option `backends`. It gives a `Target`, compiles plans that
 * were made for it, and owns its device. Errors come from `calotype` itself. This entry point may change with any minor
 * version, as graphs do.
 */

export type {
  Backend,
  BackendFactory,
  CompileOptions,
  CompileProgress,
  DeviceTensor,
  DispatchTime,
  Program,
  RefreshOptions,
  WeightReader,
  WeightStore,
} from './backends/backend.ts';
export { ByteMeter } from './backends/byte-meter.ts';
export { disposedProgram, planInput, planTensor, planValue, writtenTensors } from './backends/plan-values.ts';
export {
  checkWeight,
  isPartOf,
  loadRequests,
  SharedLoads,
  usesByKey,
  weightName,
  type WeightUse,
} from './backends/weight-loading.ts';
export type { Weight } from './graph/graph.ts';
export {
  channelsOf,
  firstKernel,
  inPlaceInput,
  kernelWithId,
  nodesOf,
  rowsOf,
  type NodesOf,
  type ValueContext,
} from './graph/kernel-table.ts';
export type { Activation, ValueId } from './graph/op.ts';
export { biasStrides } from './graph/ops/attention.ts';
export { fourierWaves } from './graph/ops/fourier-filter.ts';
export { inputsOf, type Node, type OpKind } from './graph/ops.ts';
export { timestepFrequencies } from './graph/timestep-frequencies.ts';
export { sum, type PlanDemand, type WeightDemand } from './plan/demand.ts';
export type { ExternalTensor, Place, Plan, PlannedDispatch, PlannedValue } from './plan/plan.ts';
export { FUSIONS, type DeviceType, type Target } from './plan/target.ts';
export { coefficientColumns } from './schedulers/coefficients.ts';
export { decodeToF16, decodeToF32 } from './tensor/decode.ts';
export {
  DEVICE_DTYPE_BYTES,
  STORED_DTYPES,
  type DeviceDType,
  type FloatDType,
  type StoredDType,
} from './tensor/dtype.ts';
export { elementCount } from './tensor/shape.ts';
export { encodeBF16, encodeF16 } from './tensor/float16.ts';
