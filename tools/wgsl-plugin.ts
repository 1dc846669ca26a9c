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

/** A plugin in the form that both bundlers accept. */
export const wgsl = {
  name: 'wgsl',
  load: {
    filter: { id: /\.wgsl$/ },
    async handler(id: string): Promise<{ code: string; moduleType: 'js' }> {
      return {
        code: `export default ${JSON.stringify(minifyWgsl(await readFile(id, 'utf8')))};`,
        moduleType: 'js',
      };
    },
  },
};
