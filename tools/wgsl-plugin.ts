/** @file Build plugin for tsdown and Vitest: `import source from './x.wgsl'` gives the shader's text. */
import { readFile } from 'node:fs/promises';

/** A Rollup-style plugin that both bundlers accept. */
export const wgsl = {
  name: 'wgsl',
  async load(id: string): Promise<{ code: string; moduleType: 'js' } | undefined> {
    if (!id.endsWith('.wgsl')) return undefined;
    return { code: `export default ${JSON.stringify(await readFile(id, 'utf8'))};`, moduleType: 'js' };
  },
};
