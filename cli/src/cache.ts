/** @file Where the command keeps files that it can make again. */
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** `$XDG_CACHE_HOME/calotype`, or `~/.cache/calotype` (XDG base directory specification: relative values are ignored). */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const base = env['XDG_CACHE_HOME'];
  return join(base !== undefined && isAbsolute(base) ? base : join(homedir(), '.cache'), 'calotype');
}
