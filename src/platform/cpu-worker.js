/**
 * @file A thread of the CPU backend: takes a compiled module and a memory, and works until it is terminated.
 *
 * Plain JavaScript, because Node 20 starts workers from this very file when the library runs from its sources. It needs
 * no import, so that every bundler can take it as it is.
 */

/** The page's worker scope, or Node's port to the thread that started this one. */
const port =
  typeof postMessage === 'function' ? globalThis : process.getBuiltinModule('node:worker_threads').parentPort;

port.addEventListener('message', ({ data: { module, memory, control, scratch } }) => {
  try {
    const { exports } = new WebAssembly.Instance(module, {
      env: { memory },
      main: {
        finished: () => port.postMessage({ finished: true }),
        now: () => performance.timeOrigin + performance.now(),
      },
    });
    // Every thread fills its table in the order of the module's exports: that order is what function indices mean.
    for (const { name, kind } of WebAssembly.Module.exports(module))
      if (kind === 'function') exports.table.set(exports.table.grow(1), exports[name]);
    port.postMessage({ ready: true });
    exports.work(control, scratch);
  } catch (error) {
    port.postMessage({ failed: String(error) });
  }
});
