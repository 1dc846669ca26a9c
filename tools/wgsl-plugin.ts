/** @file Build plugin for tsdown and Vitest: `import source from './x.wgsl'` gives the shader's text, without what is for readers. */
import { readFile } from 'node:fs/promises';

/** A shader without comments, indentation and empty lines, which are half of it. Directives need their lines. */
export function minifyWgsl(source: string): string {
  return source
    .split('\n')
    .map((line) => line.replace(/\/\/.*$/, '').trim())
    .filter((line) => line !== '')
    .join('\n');
}

/**
 * The module of a shader's text. A file that it includes is imported: bundles hold each once, with the shaders that need it.
 * `#include` names a file beside the one that it stands in, or below.
 */
export function shaderModule(source: string): string {
  const included: string[] = [];
  const parts = minifyWgsl(source)
    .split(/^#include "(.+)"$/m)
    .map((part, i) => (i % 2 === 0 ? JSON.stringify(part) : `included${included.push(part)}`));
  const imports = included.map((path, i) => `import included${i + 1} from ${JSON.stringify(`./${path}`)};`);
  return [...imports, `export default ${parts.join(' + ')};`].join('\n');
}

/** A plugin in the form that both bundlers accept. */
export const wgsl = {
  name: 'wgsl',
  load: {
    filter: { id: /\.wgsl$/ },
    async handler(id: string): Promise<{ code: string; moduleType: 'js' }> {
      return { code: shaderModule(await readFile(id, 'utf8')), moduleType: 'js' };
    },
  },
};
