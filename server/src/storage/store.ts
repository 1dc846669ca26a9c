/** @file Where pictures lie between server and workers: a folder that all of them see, or storage that speaks S3. */
import { OptionError } from 'calotype';

/** Files by name: two parts with a slash between them, as in `JOB/0.png`. */
export interface PictureStore {
  /** Stores a file, whole or not at all. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Throws NotFoundError. */
  get(name: string): Promise<Uint8Array>;
  /** Removes a file if it is there. */
  remove(name: string): Promise<void>;
  /** An address under which anybody gets a file for so many seconds, where the storage has addresses. */
  address?(name: string, seconds: number): Promise<string>;
  /** Removes files of jobs over these seconds old, where the storage does not do so by itself. */
  sweep?(seconds: number): Promise<void>;
}

/** Names come from job ids; nothing else may reach a path or URL. Throws OptionError. */
export function checkStoreName(name: string): void {
  if (!/^[\w-]{1,128}\/[\w-]{1,64}\.(png|jpeg|webp)$/.test(name))
    throw new OptionError(`'${name}' is no name of a picture`, {
      field: 'storage',
      remedy: 'This is a bug of the server',
    });
}
