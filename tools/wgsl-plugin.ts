/** @file Build plugin for tsdown and Vitest: `import source from './x.wgsl'` gives the shader's text. */
import { readFile } from 'node:fs/promises';

/** A plugin in the form that both bundlers accept. */
export const wgsl = {
  name: 'wgsl',
  load: {
    filter: { id: /\.wgsl$/ },
    async handler(id: string): Promise<{ code: string; moduleType: 'js' }> {
      return { code: `export default ${JSON.stringify(await readFile(id, 'utf8'))};`, moduleType: 'js' };
    },
  },
};
