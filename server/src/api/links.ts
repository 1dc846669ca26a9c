/**
 * @file Pictures under addresses, for an hour: the storage's own, signed, or with names that nobody can guess below this
 * server. They need no key.
 */
import { randomBytes } from 'node:crypto';
import { NotFoundError } from 'calotype';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@fastify/type-provider-typebox';
import { OUTPUT_FORMATS, type OutputFormat, type Picture } from '../draw-request.ts';
import type { PictureStore } from '../storage/store.ts';

/** Seconds for which an address is good; OpenAI's are as well. */
const LIFETIME = 3600;
/** Milliseconds between looks for pictures whose time is over. */
const SWEEP_INTERVAL = 60_000;

/** Puts pictures into a storage of their own, and gets them from there. */
export class PictureLinks {
  readonly #store: PictureStore;
  readonly #now: () => number;

  /** @param now milliseconds since 1970 */
  constructor(store: PictureStore, now: () => number = Date.now) {
    this.#store = store;
    this.#now = now;
  }

  /** Stores a picture; gives its address in the storage, or below `origin` where that has none. */
  async share({ file, format }: Picture, origin: string): Promise<string> {
    const expires = Math.floor(this.#now() / 1000) + LIFETIME;
    const name = `${expires}-${randomBytes(24).toString('base64url')}`;
    await this.#store.put(`${name}/0.${format}`, file);
    return (
      (await this.#store.address?.(`${name}/0.${format}`, LIFETIME)) ?? `${origin}/pictures/${name}.${format}`
    );
  }

  /** The file of a name with its extension. Throws NotFoundError for names that are wrong or over. */
  async get(name: string): Promise<{ readonly file: Uint8Array; readonly format: OutputFormat }> {
    const [, folder, expires, extension] = /^((\d{10})-[\w-]{32})\.(\w+)$/.exec(name) ?? [];
    const format = OUTPUT_FORMATS.find((one) => one === extension);
    // A name with another time is another name.
    if (folder === undefined || !format || Number(expires) * 1000 < this.#now()) throw gone();
    try {
      return { file: await this.#store.get(`${folder}/0.${format}`), format };
    } catch (error) {
      throw error instanceof NotFoundError ? gone() : error;
    }
  }

  /** Removes what is over, where the storage does not do so by itself. */
  async sweep(): Promise<void> {
    await this.#store.sweep?.(LIFETIME);
  }
}

function gone(): NotFoundError {
  return new NotFoundError('there is no such picture, or no longer', {
    field: 'picture',
    remedy: `Ask within ${LIFETIME} seconds`,
  });
}

/** Serves what `links` has. */
export const linksApi: FastifyPluginAsyncTypebox<{ readonly links: PictureLinks }> = async (
  app,
  { links },
) => {
  const timer = setInterval(() => {
    links.sweep().catch((error: unknown) => app.log.error(error));
  }, SWEEP_INTERVAL);
  timer.unref();
  app.addHook('onClose', async () => clearInterval(timer));
  app.get(
    '/pictures/:name',
    {
      schema: {
        summary: 'A picture, for an hour',
        security: [],
        params: Type.Object({ name: Type.String({ maxLength: 128 }) }),
      },
    },
    async ({ params }, reply) => {
      const { file, format } = await links.get(params.name);
      return reply
        .type(`image/${format}`)
        .header('cache-control', `private, max-age=${LIFETIME}`)
        .send(Buffer.from(file));
    },
  );
};
