/** @file Failures of CUDA as calotype's errors, each with what to do about it. */

import { DeviceLostError, KernelError, OutOfMemoryError, type CalotypeError } from 'calotype';
import { failureOf, type NativeFailure } from './native.ts';

/** The oldest driver that runs what this package was built with: CUDA 13.0's. */
export const OLDEST_DRIVER = 580;

/** After these the context is unusable, and every further call fails too. */
const FATAL = new Set([
  'cudaErrorAssert',
  'cudaErrorContained',
  'cudaErrorContextIsDestroyed',
  'cudaErrorDevicesUnavailable',
  'cudaErrorECCUncorrectable',
  'cudaErrorExternalDevice',
  'cudaErrorHardwareStackError',
  'cudaErrorIllegalAddress',
  'cudaErrorIllegalInstruction',
  'cudaErrorInvalidAddressSpace',
  'cudaErrorInvalidPc',
  'cudaErrorLaunchFailure',
  'cudaErrorLaunchTimeout',
  'cudaErrorMisalignedAddress',
  'cudaErrorMpsClientTerminated',
  'cudaErrorMpsConnectionFailed',
  'cudaErrorNvlinkUncorrectable',
  'cudaErrorTensorMemoryLeak',
  'cudaErrorUnknown',
]);

/** The driver cannot load the kernels. */
const MISMATCHED = new Set([
  'cudaErrorCallRequiresNewerDriver',
  'cudaErrorCompatNotSupportedOnDevice',
  'cudaErrorInsufficientDriver',
  'cudaErrorInvalidKernelImage',
  'cudaErrorInvalidPtx',
  'cudaErrorJitCompilationDisabled',
  'cudaErrorJitCompilerNotFound',
  'cudaErrorNoKernelImageForDevice',
  'cudaErrorSharedObjectInitFailed',
  'cudaErrorSharedObjectSymbolNotFound',
  'cudaErrorSymbolNotFound',
  'cudaErrorUnsupportedPtxVersion',
  'cudaErrorUnsupportedExecAffinity',
]);

/** Memory of the card, where it can still be asked. */
export interface MemoryState {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/**
 * The error to throw in place of one that a call of the native half threw.
 * @param what what was done: `an arena of plan "unet"`; for launches, the node
 */
export function asCalotypeError(
  error: unknown,
  what: string,
  memory: () => MemoryState | undefined,
): CalotypeError | undefined {
  const failure = failureOf(error);
  if (!failure) return undefined;
  if (failure.cuda === 'cudaErrorMemoryAllocation') return outOfMemory(what, memory(), error);
  const details = { field: what, cause: error };
  const problem = describe(failure);
  if (isFatal(error))
    return new DeviceLostError(`the card failed: ${problem}`, {
      ...details,
      remedy:
        'Open the backend again in a new process; `nvidia-smi` and the system log tell more of a card that keeps failing',
    });
  if (MISMATCHED.has(failure.cuda))
    return new KernelError(`the driver cannot run the kernels of this package: ${problem}`, {
      ...details,
      remedy: `Update the NVIDIA driver to ${OLDEST_DRIVER} or later`,
    });
  return new KernelError(problem, {
    ...details,
    remedy: 'This is a bug in the CUDA backend; report it with this message',
  });
}

/** Whether nothing works on the device after this failure. */
export function isFatal(error: unknown): boolean {
  const failure = failureOf(error);
  return failure !== undefined && FATAL.has(failure.cuda);
}

function describe({ cuda, operation }: NativeFailure): string {
  return `${cuda} in ${operation}`;
}

function outOfMemory(what: string, memory: MemoryState | undefined, cause: unknown): OutOfMemoryError {
  const mebibytes = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`;
  const left = memory ? `: ${mebibytes(memory.freeBytes)} of ${mebibytes(memory.totalBytes)} are free` : '';
  return new OutOfMemoryError(`the card has no memory left for ${what}${left}`, {
    remedy:
      "Use dtype 'f16', a smaller size or batch, or end other programs on the card (`nvidia-smi` lists them)",
    cause,
  });
}
