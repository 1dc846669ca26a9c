/** @file stable-diffusion-webui's syntax of prompts, loaded with the first prompt in it. */

import { laterPart } from '../later.ts';

export const WEBUI = laterPart('prompts in webui syntax', () => import('./webui/prompts.ts'));
