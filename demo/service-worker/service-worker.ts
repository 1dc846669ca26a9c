/**
 * @file Keeps the page itself for times without a network, and isolates it from other origins where its server does
 * not, so that threads may share memory.
 */
declare const self: ServiceWorkerGlobalScope;
// oxlint-disable-next-line unicorn/require-module-specifiers -- only a module may declare its own `self`
export {};

/** Put in by plugins/service-worker.ts: the page's files, and a number that changes with them. */
declare const __FILES__: readonly string[];
declare const __VERSION__: string;

const CACHE = `calotype-page-${__VERSION__}`;

self.addEventListener('install', (event) => event.waitUntil(install()));
// It does not claim the page that registered it: Firefox may wait for a page's worker to be claimed while the first request
// of that worker waits for this one to be active. The page is served from the next visit on.
self.addEventListener('activate', (event) => event.waitUntil(dropOthers()));
self.addEventListener('fetch', (event) => {
  const { request } = event;
  // Models are read in ranges and kept by the page.
  if (request.method !== 'GET' || request.headers.has('range')) return;
  if (new URL(request.url).origin === self.location.origin) event.respondWith(answer(request));
});

async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.addAll(__FILES__);
  await self.skipWaiting();
}

/** Drops the files of earlier versions. */
async function dropOthers(): Promise<void> {
  const others = (await caches.keys()).filter((name) => name.startsWith('calotype-page-') && name !== CACHE);
  await Promise.all(others.map((name) => caches.delete(name)));
}

/** The newest of the network for the page, which names everything else by its hash; else what is kept. */
async function answer(request: Request): Promise<Response> {
  const kept = await (await caches.open(CACHE)).match(request, { ignoreSearch: true, ignoreVary: true });
  if (kept && request.mode !== 'navigate') return isolate(kept);
  try {
    return isolate(await fetch(request));
  } catch (error) {
    if (kept) return isolate(kept);
    throw error;
  }
}

/** An answer with the headers of a cross-origin isolated page. */
function isolate(response: Response): Response {
  if (response.status === 0 || response.type === 'opaqueredirect') return response;
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
