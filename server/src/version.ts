/** @file The version of the server. */
import { createRequire } from 'node:module';
import * as v from 'valibot';

const manifest: unknown = createRequire(import.meta.url)('../package.json');

/** As in package.json, which lies one folder above both the source and the build. */
export const { version } = v.parse(v.object({ version: v.string() }), manifest);
