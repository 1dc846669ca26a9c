/** @file Types of `.wgsl` imports, which tools/wgsl-plugin.ts turns into modules that hold the shader's text. */
declare module '*.wgsl' {
  const source: string;
  export default source;
}
