/** @file Types of `wasm:` imports (see tools/wasm-plugin.ts), and of the part of WebAssembly's API that is used. */
declare module 'wasm:simd128' {
  const base64: string;
  export default base64;
}
declare module 'wasm:relaxed-simd' {
  const base64: string;
  export default base64;
}

/** What all runtimes have; TypeScript knows it from the DOM's types only, which are not for this library. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
    static exports(module: Module): { readonly name: string; readonly kind: string }[];
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }
  class Memory {
    constructor(limits: { readonly initial: number; readonly maximum: number; readonly shared: true });
    readonly buffer: SharedArrayBuffer;
    grow(pages: number): number;
  }
  class RuntimeError extends Error {}
  function validate(bytes: Uint8Array): boolean;
  function compile(bytes: Uint8Array): Promise<Module>;
}
