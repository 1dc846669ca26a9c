/** @file Names of single files on the Hugging Face Hub, as diffusers' `from_single_file` takes them. */
import { isPlainPath } from './model-source.ts';

/** One file of one version of a repository. */
export interface HubFile {
  /** `owner/name`. */
  readonly id: string;
  /** Branch, tag or commit, if the address names one. */
  readonly revision: string | undefined;
  readonly path: string;
}

/**
 * Reads `https://huggingface.co/owner/name/blob/main/file.safetensors` (or `resolve`, `hf.co`, or the address of
 * another `endpoint`) and `owner/name/file.safetensors`. undefined for anything else.
 */
export function parseHubFile(source: string, endpoint: string): HubFile | undefined {
  const bases = [endpoint, 'https://huggingface.co', 'https://hf.co'];
  const base = bases.find((address) => source.startsWith(`${address}/`));
  const isAddress = /^https?:/.test(source);
  if (base === undefined && isAddress) return undefined;
  const path = base === undefined ? source : source.slice(base.length + 1).replace(/[?#].*$/, '');
  const parts = /^([\w.-]+\/[\w.-]+)\/(?:(?:blob|resolve)\/([^/]+)\/)?(.+)$/.exec(path);
  if (parts === null || !isPlainPath(path)) return undefined;
  const [, id, revision, file] = parts;
  return {
    id,
    revision: revision === undefined ? undefined : decodeURIComponent(revision),
    path: isAddress ? decodeURIComponent(file) : file,
  };
}
