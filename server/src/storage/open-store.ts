/** @file `--storage`: a folder, or a bucket. */
import { FolderStore } from './folder-store.ts';
import { readS3, S3Store } from './s3-store.ts';
import type { PictureStore } from './store.ts';

/** The storage of an address: `s3://BUCKET/PREFIX`, else the path of a folder. Throws OptionError. */
export function openStore(
  address: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): PictureStore {
  return address.startsWith('s3://') ? new S3Store(readS3(address, env)) : new FolderStore(address);
}
