/** @file Loads the native half, for library.test.ts to run in Deno: prints the driver's CUDA and the number of kernels. */
import process from 'node:process';
import { loadLibrary } from '../../native-cuda/src/library.ts';

const native = await loadLibrary('linux-x64', process.argv[2]);
const answer = 'reason' in native ? native : [native.driverVersion(), native.kernels().length];
process.stdout.write(JSON.stringify(answer));
