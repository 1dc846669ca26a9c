/** @file AssemblyScript's compiler under the declarations beside this file. */
export { main, version } from 'assemblyscript/asc';
