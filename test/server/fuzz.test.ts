/** @file Requests that nobody means, from a seeded generator: each is answered, and none by a failure of the server. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as v from 'valibot';
import { encodePng, Generator } from '../../src/index.ts';
import type { DrawRequest, DrawResult } from '../../server/src/index.ts';
import { startServer } from './support.ts';

const REQUESTS = 120;
const errorSchema = v.union([
  v.object({ error: v.string(), detail: v.string() }),
  v.object({ error: v.object({ message: v.string(), code: v.string() }) }),
]);

let png = '';
let server: Awaited<ReturnType<typeof startServer>>;
/** What got as far as being drawn. */
const begun: DrawRequest[] = [];
beforeAll(async () => {
  const file = await encodePng({ width: 8, height: 8, data: new Uint8ClampedArray(256).fill(99) });
  png = Buffer.from(file).toString('base64');
  const draw = async ({ request }: { readonly request: DrawRequest }): Promise<DrawResult> => {
    begun.push(request);
    const picture = { file, format: 'png', width: 8, height: 8, seed: 1, parameters: '' } as const;
    return Promise.resolve({
      pictures: request.seeds.map(() => picture),
      notices: [],
      seconds: 1,
      phases: {},
      busySeconds: 0,
    });
  };
  const runner = { name: 'none', ready: Promise.resolve(), draw, close: async () => Promise.resolve() };
  const added = [{ name: 'net', source: 'nowhere' }];
  server = await startServer({
    runners: [runner],
    controlnets: added,
    ipAdapters: added,
    limits: { bodyBytes: 20_000, pixels: 64 * 64 },
  });
});
afterAll(() => server.close());

/** Choices that are the same in every run. */
class Choices {
  readonly #values = new Generator(11).randn([200_000]);
  #next = 0;

  /** A whole number from 0. */
  below(count: number): number {
    const value = Math.abs(this.#values[this.#next++ % this.#values.length]) * 7919;
    return Math.floor(value % count);
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

const choices = new Choices();
const unit = () => ({
  model: choices.of(['net', 'other', null]),
  image: choices.of([png, '', 'AAAA']),
  weight: value(2),
});

/** Anything that JSON can say. */
function value(depth = 0): unknown {
  const kinds = depth > 2 ? 9 : 12;
  switch (choices.below(kinds)) {
    case 0:
      return null;
    case 1:
      return choices.of([true, false]);
    case 2:
      return choices.of([0, 1, -1, 2, 64, 1e9, -1e300, 0.5, 2 ** 53]);
    case 3:
      return choices.of([
        '',
        'a fox',
        '(',
        '<lora:x:1>',
        'Euler',
        '__proto__',
        '\u0000',
        '\ud800',
        'a'.repeat(3000),
      ]);
    case 4:
      return png;
    case 5:
      return `data:image/png;base64,${png.slice(0, choices.below(80))}`;
    case 6:
      return choices.of(['http://example.com/a.png', 'file:///etc/passwd', '../../x']);
    case 7:
      return { controlnet: { args: [unit()] } };
    case 8:
      return [];
    case 9:
      return Array.from({ length: choices.below(4) }, () => value(depth + 1));
    case 10:
      return [unit(), unit()];
    default:
      return Object.fromEntries(
        Array.from({ length: choices.below(4) }, (_, i) => [`a${i}`, value(depth + 1)]),
      );
  }
}

/** Fields that each route knows, by OpenAPI's document. */
async function fieldsOf(path: string): Promise<string[]> {
  const schema = v.object({
    paths: v.record(
      v.string(),
      v.looseObject({ post: v.optional(v.looseObject({ requestBody: v.optional(v.unknown()) })) }),
    ),
  });
  const { paths } = v.parse(schema, await (await fetch(`${server.url}/openapi.json`)).json());
  const text = JSON.stringify(paths[path].post?.requestBody);
  return [...new Set([...text.matchAll(/"(\w+)":\{/g)].map(([, name]) => name))];
}

it.each([
  ['/sdapi/v1/txt2img', { prompt: 'a fox', steps: 1, width: 64, height: 64 }],
  ['/sdapi/v1/img2img', { prompt: 'a fox', steps: 1, init_images: ['PNG'] }],
  ['/v1/images/generations', { prompt: 'a fox', steps: 1, size: '64x64' }],
  ['/sdapi/v1/options', {}],
  ['/sdapi/v1/png-info', { image: 'PNG' }],
])('answers %s whatever it is sent', async (path, base) => {
  const names = [...(await fieldsOf(path)), 'alwayson_scripts', 'unheard'];
  const before = begun.length;
  const seen = new Set<number>();
  for (let request = 0; request < REQUESTS; request++) {
    const body: Record<string, unknown> = JSON.parse(
      JSON.stringify(base).replace('PNG', png),
    ) as object as Record<string, unknown>;
    for (let change = choices.below(5); change > 0; change--) body[choices.of(names)] = value();
    let text = JSON.stringify(body);
    if (choices.below(20) === 0) text = text.slice(0, choices.below(text.length));
    const response = await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: text,
    });
    const answer = await response.text();
    seen.add(response.status);
    const about = `${text.slice(0, 600)}\n${response.status} ${answer.slice(0, 300)}`;
    expect(response.status, about).toBeLessThan(500);
    if (response.status !== 200 && response.headers.get('content-type')?.startsWith('application/json'))
      expect(v.is(errorSchema, JSON.parse(answer)), about).toBe(true);
  }
  // Some of it is meant, and some is not.
  expect([...seen]).toEqual(expect.arrayContaining([200, 400]));
  if (path.endsWith('2img') || path.includes('images')) expect(begun.length).toBeGreaterThan(before);
});
