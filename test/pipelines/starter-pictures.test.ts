/** @file The starter model's four reference pictures on the CPU backend, which is fast enough for every test run. */

import { cpu } from '../../src/index.ts';
import { compareStarterPictures } from '../support/starter-pictures.ts';

await compareStarterPictures([cpu()], 'f32');
