/**
 * @file Two of the starter model's reference pictures on the CPU backend, which is fast enough for every test run; test/parity
 * draws all four.
 */

import { cpu } from '../../src/index.ts';
import { compareStarterPictures } from '../support/starter-pictures.ts';

await compareStarterPictures([cpu()], 'f32', 2);
