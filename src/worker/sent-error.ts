/** @file Errors between threads: structured cloning keeps an error's message, but not its class, code and remedy. */
import * as errors from '../errors.ts';
import type { SentError } from './protocol.ts';

/** Makes an error of an error's class from what it was made of. */
type Rebuild = (problem: string, details: errors.ErrorDetails, sent: SentError) => errors.CalotypeError;

const plain =
  (Class: new (problem: string, details: errors.ErrorDetails) => errors.CalotypeError): Rebuild =>
  (problem, details) =>
    new Class(problem, details);

/** By `code`. */
const REBUILD: ReadonlyMap<string, Rebuild> = new Map([
  ['file-format', plain(errors.FileFormatError)],
  ['config', plain(errors.ConfigError)],
  ['not-found', plain(errors.NotFoundError)],
  ['download', plain(errors.DownloadError)],
  ['option', plain(errors.OptionError)],
  ['graph', plain(errors.GraphError)],
  ['device-lost', plain(errors.DeviceLostError)],
  ['out-of-memory', plain(errors.OutOfMemoryError)],
  ['kernel', plain(errors.KernelError)],
  [
    'backend-unavailable',
    (problem, details, { attempts }) => new errors.BackendUnavailableError(problem, { ...details, attempts }),
  ],
]);

/** An error as data. */
export function sendError(error: unknown): SentError {
  const known = error instanceof errors.CalotypeError ? error : undefined;
  return {
    code: known?.code,
    name: error instanceof Error ? error.name : 'Error',
    message: error instanceof Error ? error.message : String(error),
    problem: known?.problem ?? '',
    file: known?.file,
    field: known?.field,
    remedy: known?.remedy ?? '',
    attempts: error instanceof errors.BackendUnavailableError ? error.attempts : [],
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
