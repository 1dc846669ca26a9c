/** @file Errors between threads: structured cloning keeps an error's message, but not its class, code and remedy. */
import {
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
  type ErrorDetails,
} from '../errors.ts';
import type { SentError } from './protocol.ts';

/** Makes an error of an error's class from what it was made of. */
type Rebuild = (problem: string, details: ErrorDetails, sent: SentError) => CalotypeError;

const plain =
  (Class: new (problem: string, details: ErrorDetails) => CalotypeError): Rebuild =>
  (problem, details) =>
    new Class(problem, details);

/** By `code`. */
const REBUILD: ReadonlyMap<string, Rebuild> = new Map([
  ['file-format', plain(FileFormatError)],
  ['config', plain(ConfigError)],
  ['not-found', plain(NotFoundError)],
  ['download', plain(DownloadError)],
  ['option', plain(OptionError)],
  ['graph', plain(GraphError)],
  ['device-lost', plain(DeviceLostError)],
  ['out-of-memory', plain(OutOfMemoryError)],
  ['kernel', plain(KernelError)],
  [
    'backend-unavailable',
    (problem, details, { attempts }) => new BackendUnavailableError(problem, { ...details, attempts }),
  ],
]);

/** An error as data. */
export function sendError(error: unknown): SentError {
  const known = error instanceof CalotypeError ? error : undefined;
  return {
    code: known?.code,
    name: error instanceof Error ? error.name : 'Error',
    message: error instanceof Error ? error.message : String(error),
    problem: known?.problem ?? '',
    file: known?.file,
    field: known?.field,
    remedy: known?.remedy ?? '',
    attempts: error instanceof BackendUnavailableError ? error.attempts : [],
  };
}

/** The error that was sent: one of calotype's own classes, a DOMException for an abort, else a plain Error. */
export function rebuildError(sent: SentError): Error {
  const { code, name, message, problem, file, field, remedy } = sent;
  const rebuild = code === undefined ? undefined : REBUILD.get(code);
  if (rebuild)
    return rebuild(
      problem,
      { remedy, ...(file !== undefined && { file }), ...(field !== undefined && { field }) },
      sent,
    );
  return name === 'AbortError' || name === 'TimeoutError'
    ? new DOMException(message, name)
    : Object.assign(new Error(message), { name });
}
