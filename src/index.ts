/** @file The public API of calotype. */
export {
  BackendUnavailableError,
  CalotypeError,
  ConfigError,
  DeviceLostError,
  DownloadError,
  FileFormatError,
  GraphError,
  KernelError,
  NotFoundError,
  OptionError,
  OutOfMemoryError,
} from './errors.ts';
export type { BackendAttempt, ErrorDetails } from './errors.ts';
