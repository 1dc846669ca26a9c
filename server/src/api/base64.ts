/** @file Files in JSON. */
import { OptionError } from 'calotype';

/** A file in base64, or as a data URL; other URLs are not followed. Throws OptionError. */
export function readBase64(field: string, text: string): Uint8Array {
  const data = /^data:[\w/+.-]+;base64,/.exec(text);
  const base64 = data ? text.slice(data[0].length) : text;
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(base64))
    throw new OptionError('is not base64', { field, remedy: 'Send the file itself; URLs are not followed' });
  return Buffer.from(base64, 'base64');
}
