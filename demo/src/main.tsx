/** @file Starts the page. */
import { render } from 'preact';
import { App } from './app.tsx';
import { start } from './studio.ts';

const root = document.getElementById('app');
if (root) render(<App />, root);
if (import.meta.env.PROD && 'serviceWorker' in navigator)
  // Without it the page works all the same, but not offline.
  void navigator.serviceWorker.register('service-worker.js').catch(() => undefined);
void start();
