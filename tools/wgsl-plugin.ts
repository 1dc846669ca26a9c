/** @file Build plugin for tsdown and Vitest: `import source from './x.wgsl'` gives the shader's text, without what is for readers. */
import { readFile } from 'node:fs/promises';

/** What is looked for as it is written, in the preprocessor and where runs are cut: directives, bindings, `Dims` and `main`. */
const READ_AS_WRITTEN = /^#|@binding|@builtin|^\) \{|fn main|struct Dims/;

/**
 * A shader without comments, indentation, empty lines and spaces around operators, which are half of it. Directives need
 * their lines; minus keeps its spaces, since `a - -b` is no `a--b`, and so does division, since `a / *b` is no comment.
 */
export function minifyWgsl(source: string): string {
  return source
    .split('\n')
    .map((line) => line.replace(/\/\/.*$/, '').trim())
    .filter((line) => line !== '')
    .map((line) => (READ_AS_WRITTEN.test(line) ? line : line.replaceAll(/ ?([=+*<>,;:{}()|&%!?^]) ?/g, '$1')))
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
