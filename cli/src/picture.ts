/** @file Reads the pictures that options name. */
import { readFile } from 'node:fs/promises';
import { decodePng, OptionError, type CalotypeImage } from 'calotype';

/** @throws OptionError where there is no such file, FileFormatError where it is no PNG. */
export async function readPicture(option: string, path: string): Promise<CalotypeImage> {
  let file: Uint8Array;
  try {
    file = await readFile(path);
  } catch (cause) {
    throw new OptionError(`'${path}' cannot be read`, {
      field: option,
      remedy: 'Give the name of a PNG file.',
      cause,
    });
  }
  return decodePng(file, path).image;
}

/** Several, one after the other. */
export async function readPictures(
  option: string,
  paths: readonly string[],
): Promise<readonly CalotypeImage[]> {
  const pictures: CalotypeImage[] = [];
  for (const path of paths) pictures.push(await readPicture(option, path));
  return pictures;
}
