/**
 * @file Every error calotype throws on purpose. Each says what is wrong, where, and what to do next (`remedy`).
 *
 * `code` is stable and meant for programs; `message` is meant for people and already ends with the remedy.
 */

/** What an error is about; the parts that are known are joined into the message. */
export interface ErrorDetails {
  /** File, URL or repository path that is at fault. */
  readonly file?: string | undefined;
  /** Field, tensor, option or node inside it. */
  readonly field?: string | undefined;
  /** What the reader can do about it. */
  readonly remedy: string;
  readonly cause?: unknown;
}

/** Base class of all errors that calotype throws on purpose. */
export abstract class CalotypeError extends Error {
  abstract readonly code: string;
  /** What is wrong, without where and without the remedy. */
  readonly problem: string;
  readonly file: string | undefined;
  readonly field: string | undefined;
  readonly remedy: string;

  constructor(problem: string, details: ErrorDetails) {
    const where = [details.file, details.field].filter((part) => part !== undefined).join(': ');
    super(
      `${where ? `${where}: ` : ''}${problem}. ${details.remedy}`,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.name = new.target.name;
    this.problem = problem;
    this.file = details.file;
    this.field = details.field;
    this.remedy = details.remedy;
  }
}

/** A model file is damaged, not what its name says, or of a format that is not read (pickles, GGUF). */
export class FileFormatError extends CalotypeError {
  readonly code = 'file-format';
}

/** A JSON configuration lacks a field, has a wrong type, or asks for something that is not supported. */
export class ConfigError extends CalotypeError {
  readonly code = 'config';
}

/** A file, tensor or repository is not there. */
export class NotFoundError extends CalotypeError {
  readonly code = 'not-found';
}

/** A download failed, was refused, or did not match its size or hash. */
export class DownloadError extends CalotypeError {
  readonly code = 'download';
}

/** An option of a call or of the command is unknown, of the wrong type, or out of range. */
export class OptionError extends CalotypeError {
  readonly code = 'option';
}

/** A graph, pass or plan is inconsistent: a bug in a model file or in calotype. */
export class GraphError extends CalotypeError {
  readonly code = 'graph';
}

/** No backend could be used; `attempts` says for each one why not. */
export class BackendUnavailableError extends CalotypeError {
  readonly code = 'backend-unavailable';
  readonly attempts: readonly BackendAttempt[];

  constructor(problem: string, details: ErrorDetails & { readonly attempts: readonly BackendAttempt[] }) {
    super(problem, details);
    this.attempts = details.attempts;
  }
}

/** One backend that was tried, and why it was not taken. */
export interface BackendAttempt {
  readonly backend: string;
  readonly reason: string;
  readonly remedy: string;
}

/** The device went away while in use (driver reset, watchdog, unplugged). */
export class DeviceLostError extends CalotypeError {
  readonly code = 'device-lost';
}

/** The device or the host has not enough memory, or an object is over one of its limits. */
export class OutOfMemoryError extends CalotypeError {
  readonly code = 'out-of-memory';
}

/** The device refused a shader, pipeline or dispatch: a bug in a kernel. */
export class KernelError extends CalotypeError {
  readonly code = 'kernel';
}
