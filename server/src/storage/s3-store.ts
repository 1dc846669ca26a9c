/** @file Pictures in storage that speaks S3 (AWS, MinIO, Ceph, R2); a rule of the bucket's own removes old ones. */
import { AwsClient } from 'aws4fetch';
import { NotFoundError, OptionError } from 'calotype';
import { UnavailableError } from '../errors.ts';
import { checkStoreName, type PictureStore } from './store.ts';

/** Where the bucket is and who asks. */
export interface S3Options {
  /** `https://host` of the service; paths begin with the bucket. */
  readonly endpoint: string;
  readonly bucket: string;
  /** Put before all names; '' or with a slash at the end. */
  readonly prefix: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** A bucket of pictures. */
export class S3Store implements PictureStore {
  readonly #client: AwsClient;
  readonly #base: string;

  constructor({ endpoint, bucket, prefix, region, accessKeyId, secretAccessKey }: S3Options) {
    this.#client = new AwsClient({ accessKeyId, secretAccessKey, region, service: 's3', retries: 3 });
    this.#base = `${endpoint.replace(/\/$/, '')}/${bucket}/${prefix}`;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.#ask('PUT', name, Buffer.from(bytes));
  }

  async get(name: string): Promise<Uint8Array> {
    const response = await this.#ask('GET', name);
    return new Uint8Array(await response.arrayBuffer());
  }

  async remove(name: string): Promise<void> {
    await this.#ask('DELETE', name);
  }

  /** Signed in its query (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html). */
  async address(name: string, seconds: number): Promise<string> {
    checkStoreName(name);
    const url = new URL(`${this.#base}${name}`);
    url.searchParams.set('X-Amz-Expires', String(seconds));
    const { url: signed } = await this.#client.sign(url.href, { aws: { signQuery: true } });
    return signed;
  }

  async #ask(method: string, name: string, body?: Buffer<ArrayBuffer>): Promise<Response> {
    checkStoreName(name);
    const response = await this.#client.fetch(`${this.#base}${name}`, {
      method,
      // Browsers that are given its address show it.
      ...(body && { body, headers: { 'content-type': `image/${name.replace(/^.*\./, '')}` } }),
    });
    if (response.ok) return response;
    if (response.status === 404 && method === 'GET')
      throw new NotFoundError('the picture is not in the storage', {
        file: name,
        remedy: 'Give server and workers the same --storage',
      });
    throw new UnavailableError(`the storage answered ${method} with ${response.status}`, {
      remedy: 'Look at its log, and at the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    });
  }
}

/**
 * The options of `s3://BUCKET/PREFIX`, with keys, region and endpoint from the variables that AWS' own tools read.
 * @throws OptionError for what is missing
 */
export function readS3(url: string, env: Readonly<Record<string, string | undefined>>): S3Options {
  const [, bucket, path = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,62})(?:\/(.*))?$/.exec(url) ?? [];
  if (bucket === undefined)
    throw new OptionError(`'${url}' is no address of a bucket`, {
      field: '--storage',
      remedy: 'Give s3://bucket/prefix',
    });
  const region = env['AWS_REGION'] ?? 'us-east-1';
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new OptionError('there are no keys for it', {
      field: '--storage',
      remedy: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    });
  const prefix = path === '' || path.endsWith('/') ? path : `${path}/`;
  const endpoint = env['AWS_ENDPOINT_URL'] ?? `https://s3.${region}.amazonaws.com`;
  return { endpoint, bucket, prefix, region, accessKeyId, secretAccessKey };
}
