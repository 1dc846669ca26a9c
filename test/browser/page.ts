/** @file The script of the page that browser.test.ts opens: it puts a guest where the test process can call it. */
import { createGuest } from '../support/guest.ts';

Reflect.set(globalThis, 'askGuest', createGuest());
