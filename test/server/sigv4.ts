/**
 * @file What a service that speaks S3 does with signatures, from AWS' description of Signature Version 4 alone: headers, and
 * queries of addresses that anybody may use for a while. Paths here have no characters that would be encoded.
 */
import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

const hash = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** What is signed. */
export interface Signed {
  readonly method: string;
  readonly path: string;
  readonly query: ReadonlyMap<string, string>;
  readonly headers: Readonly<Record<string, string>>;
  readonly signedHeaders: string;
  readonly payload: string;
  /** As in `20130524T000000Z`. */
  readonly time: string;
  /** As in `20130524/us-east-1/s3/aws4_request`. */
  readonly scope: string;
}

/** The signature of a request. */
export function signatureOf(request: Signed, secret: string): string {
  const { method, path, query, headers, signedHeaders, payload, time, scope } = request;
  const pairs = [...query].map(([name, value]) => `${encode(name)}=${encode(value)}`).toSorted();
  const lines = signedHeaders.split(';').map((name) => `${name}:${headers[name].trim()}\n`);
  const canonical = [method, path, pairs.join('&'), lines.join(''), signedHeaders, payload].join('\n');
  const key = scope.split('/').reduce<string | Buffer>((last, part) => hmac(last, part), `AWS4${secret}`);
  return hmac(key, ['AWS4-HMAC-SHA256', time, scope, hash(canonical)].join('\n')).toString('hex');
}

/** Whether a request is signed with a key, and for whom: its headers, or its query for so many seconds. */
export function isSigned(
  { method = '', url = '', headers }: IncomingMessage,
  body: Buffer,
  { id, secret, now }: { readonly id: string; readonly secret: string; readonly now: () => number },
): boolean {
  const { pathname, searchParams } = new URL(url, 'http://none');
  const query = new Map(searchParams);
  const all = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
  const [, credential, signedHeaders, signature] =
    /Credential=(\S+), SignedHeaders=(\S+), Signature=(\w+)/.exec(headers.authorization ?? '') ?? [];
  const payload = String(headers['x-amz-content-sha256'] ?? 'UNSIGNED-PAYLOAD');
  const own = { method, path: pathname, headers: all };
  if (credential !== undefined) {
    const [key, ...scope] = credential.split('/');
    const time = all['x-amz-date'];
    const isWhole = payload === 'UNSIGNED-PAYLOAD' || payload === hash(body);
    const signed = { ...own, query, signedHeaders, payload, time, scope: scope.join('/') };
    return key === id && isWhole && signatureOf(signed, secret) === signature;
  }
  const parameter = (name: string): string => query.get(`X-Amz-${name}`) ?? '';
  const [key, ...scope] = parameter('Credential').split('/');
  const time = parameter('Date');
  const begun = Date.parse(time.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'));
  const given = parameter('Signature');
  query.delete('X-Amz-Signature');
  const signed = { ...own, query, signedHeaders: parameter('SignedHeaders'), time, scope: scope.join('/') };
  return (
    key === id &&
    now() < begun + Number(parameter('Expires')) * 1000 &&
    signatureOf({ ...signed, payload: 'UNSIGNED-PAYLOAD' }, secret) === given
  );
}
