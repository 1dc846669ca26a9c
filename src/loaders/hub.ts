/**
 * @file The Hugging Face Hub: repository ids, addresses, answers of its servers, and a ModelSource that reads a
 * repository by range requests without keeping anything (for browsers; Node has a cache in platform/hub-cache.ts).
 */
import * as v from 'valibot';
import { type CalotypeError, DownloadError, NotFoundError, OptionError } from '../errors.ts';
import { decodeUtf8 } from './byte-source.ts';
import { validate } from './config.ts';
import { type HttpClient, readBody, refused, retrying, send } from './http.ts';
import { openHttpSource } from './http-source.ts';
import { parseJson } from './json.ts';
import { checkPath, filesIn, isPlainPath, type ModelSource } from './model-source.ts';

/** What the environment says about the Hub. */
export interface HubSettings {
  /** Address of the Hub or of a mirror, without a slash at the end. */
  readonly endpoint: string;
  /** Access token; sent to the endpoint only. */
  readonly token: string | undefined;
  /** Nothing may be downloaded. */
  readonly offline: boolean;
}

/** One version of one repository. */
export interface HubRepository {
  /** `name` or `owner/name`. */
  readonly id: string;
  /** Branch, tag, `refs/pr/N` or commit. */
  readonly revision: string;
}

const DEFAULT_ENDPOINT = 'https://huggingface.co';

/**
 * Settings from environment variables, as huggingface_hub reads them: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE.
 * Throws OptionError for an endpoint that is no http(s) address.
 */
export function hubSettings(env: Readonly<Record<string, string | undefined>>): HubSettings {
  const endpoint = (env['HF_ENDPOINT'] || DEFAULT_ENDPOINT).replace(/\/+$/, '');
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol))
    throw new OptionError(`${JSON.stringify(endpoint)} is no address`, {
      field: 'HF_ENDPOINT',
      remedy: `Set it to an address such as ${DEFAULT_ENDPOINT}, or unset it`,
    });
  return {
    endpoint,
    token: env['HF_TOKEN']?.trim() || undefined,
    offline: /^(1|on|yes|true)$/i.test(env['HF_HUB_OFFLINE'] ?? ''),
  };
}

/** Checks a repository id and revision by huggingface_hub's rules. Throws OptionError. */
export function hubRepository(id: string, revision = 'main'): HubRepository {
  const part = String.raw`[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?`;
  if (!new RegExp(`^(?:${part}/)?${part}$`).test(id) || /--|\.\.|\.git$/.test(id))
    throw new OptionError(`${JSON.stringify(id)} is no Hugging Face repository id`, {
      remedy:
        'Write "name" or "owner/name" with letters, digits, "-", "_" and "."; for a local folder write "./name"',
    });
  if (!isPlainPath(revision) || /[\s?#%~^*[]/.test(revision))
    throw new OptionError(`${JSON.stringify(revision)} is no revision`, {
      remedy: 'Use a branch, a tag or a commit hash',
    });
  return { id, revision };
}

/** Whether a revision is a full commit hash, which never changes its meaning. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** Address of a file: `/{repo}/resolve/{revision}/{path}`. */
export function resolveUrl(endpoint: string, { id, revision }: HubRepository, path: string): string {
  checkPath(id, path);
  const file = path.split('/').map(encodeURIComponent).join('/');
  return `${endpoint}/${id}/resolve/${encodeURIComponent(revision)}/${file}`;
}

/** A revision's commit, and its files with their versions (see `ByteSource.version`) where the Hub gives them. */
export interface HubListing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, string | undefined>;
}

const listingSchema = v.object({
  sha: v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/, 'expected a commit hash')),
  siblings: v.array(
    v.object({
      rfilename: v.string(),
      blobId: v.nullish(v.string()),
      lfs: v.nullish(v.object({ sha256: v.string() })),
    }),
  ),
});
const MAX_LISTING_BYTES = 64 << 20;

/** Asks the Hub what a revision holds. Throws NotFoundError or DownloadError, as `hubRefusal` says. */
export async function fetchListing(
  endpoint: string,
  repository: HubRepository,
  client: HttpClient,
  signal?: AbortSignal,
): Promise<HubListing> {
  const url = `${endpoint}/api/models/${repository.id}/revision/${encodeURIComponent(repository.revision)}?blobs=true`;
  const text = await retrying(client, signal, async () => {
    const { response } = await send(url, client, { signal });
    if (!response.ok) throw await hubRefusal(response, url, repository);
    const body = await readBody(response, url, MAX_LISTING_BYTES, signal);
    if (body === undefined)
      throw new DownloadError('the answer is too long', { file: url, remedy: 'Check HF_ENDPOINT' });
    return decodeUtf8(body, url);
  });
  const { sha, siblings } = validate(listingSchema, parseJson(text, url), { file: url });
  return {
    commit: sha,
    files: new Map(siblings.map(({ rfilename, blobId, lfs }) => [rfilename, versionOf(blobId, lfs?.sha256)])),
  };
}

function versionOf(gitHash: string | null | undefined, sha256: string | undefined): string | undefined {
  if (sha256 !== undefined) return `sha256:${sha256}`;
  return gitHash ? `git:${gitHash}` : undefined;
}

/** The error for a refusal: the Hub says in X-Error-Code what it is about, since its status codes do not. */
export async function hubRefusal(
  response: Response,
  url: string,
  { id, revision }: HubRepository,
): Promise<CalotypeError> {
  const code = response.headers.get('x-error-code');
  const known: Readonly<Record<string, () => CalotypeError>> = {
    RepoNotFound: () =>
      new NotFoundError(`the repository ${id} is not there, or is private`, {
        file: url,
        remedy: 'Check its spelling; for a private one set HF_TOKEN to a token that may read it',
      }),
    RevisionNotFound: () =>
      new NotFoundError(`${id} has no revision "${revision}"`, {
        file: url,
        remedy: 'Check its spelling on the page of the repository',
      }),
    EntryNotFound: () =>
      new NotFoundError('there is no such file', {
        file: url,
        remedy: 'Check on the page of the repository that it is in the diffusers layout',
      }),
    GatedRepo: () =>
      new DownloadError(`access to ${id} must be granted first`, {
        file: url,
        remedy: `Accept its terms on the page of the repository, and set HF_TOKEN to a token of the same account`,
      }),
  };
  const make = code === null || !Object.hasOwn(known, code) ? undefined : known[code];
  if (make === undefined) return refused(response, url);
  await response.body?.cancel();
  return make();
}

/**
 * A repository read by range requests; nothing is kept. The revision is looked up once, so that all files are of
 * one commit. Throws as `fetchListing` and `openHttpSource` do.
 */
export function hubSource(
  repository: HubRepository,
  settings: Pick<HubSettings, 'endpoint' | 'token'>,
  http: HttpClient = {},
): ModelSource {
  const { endpoint, token } = settings;
  const client: HttpClient = token === undefined ? http : { ...http, token };
  let known: Promise<HubListing> | undefined;
  const listing = async (signal?: AbortSignal): Promise<HubListing> => {
    try {
      return await (known ??= fetchListing(endpoint, repository, client, signal));
    } catch (error) {
      known = undefined;
      throw error;
    }
  };
  return {
    name: repository.id,
    async open(path, signal) {
      checkPath(repository.id, path);
      const { commit, files } = await listing(signal);
      if (!files.has(path)) return undefined;
      const url = resolveUrl(endpoint, { ...repository, revision: commit }, path);
      const file = await openHttpSource(url, client, signal);
      const version = files.get(path) ?? file?.version;
      return file && { name: url, size: file.size, version, read: file.read.bind(file) };
    },
    exists: async (path, signal) => (await listing(signal)).files.has(path),
    list: async (folder, signal) => filesIn(folder, (await listing(signal)).files.keys()),
  };
}
