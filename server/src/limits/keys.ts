/** @file Who may ask: keys by name, compared without telling how much of one was right. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { OptionError } from 'calotype';
import { UnauthorizedError } from '../errors.ts';

/** Somebody who may ask. */
export interface Caller {
  /** For logs, metrics and limits; never the key itself. */
  readonly name: string;
}

/** Keys; without any, everybody may ask and is known by address. */
export class KeyRing {
  readonly #keys: readonly { readonly name: string; readonly digest: Buffer }[];

  /** @param keys tokens by name */
  constructor(keys: ReadonlyMap<string, string> = new Map()) {
    this.#keys = [...keys].map(([name, token]) => ({ name, digest: digestOf(token) }));
  }

  /**
   * Who sent an Authorization header: `Bearer TOKEN`, or `Basic` with the token as password, which is what sd-webui's
   * clients send.
   * @throws UnauthorizedError
   */
  find(header: string | undefined, address: string): Caller {
    if (this.#keys.length === 0) return { name: address };
    const remedy = 'Send the header Authorization: Bearer KEY, with a key of this server';
    if (header === undefined) throw new UnauthorizedError('there is no key', { remedy });
    const digest = digestOf(tokenOf(header));
    // All are compared, so that the time says nothing.
    const [found] = this.#keys.filter((key) => timingSafeEqual(key.digest, digest));
    if (found === undefined) throw new UnauthorizedError('the key is not known', { remedy });
    return { name: found.name };
  }
}

/**
 * Keys of a file: a line `NAME TOKEN` for each; empty lines and those that begin with # are left out.
 * @throws OptionError for other lines; it does not repeat them
 */
export function parseKeys(text: string, file: string): Map<string, string> {
  const keys = new Map<string, string>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [name, token, ...more] = line.trim().split(/\s+/);
    if (token === undefined || token.length < 16 || more.length > 0 || keys.has(name))
      throw new OptionError(`line ${i + 1} is no key with a name of its own and 16 or more characters`, {
        field: file,
        remedy: 'Write lines such as: alice 5f0c9a7e31d24b68',
      });
    keys.set(name, token);
  }
  return keys;
}

function tokenOf(header: string): string {
  const [, scheme = '', value = ''] = /^(\w+)\s+(.+)$/.exec(header) ?? [];
  if (scheme.toLowerCase() === 'bearer') return value;
  if (scheme.toLowerCase() !== 'basic') return '';
  return Buffer.from(value, 'base64')
    .toString()
    .replace(/^[^:]*:/, '');
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
