/** @file Starts the page. */
import { render } from 'preact';
import { App } from './app.tsx';
import { start } from './studio.ts';

// A task of its own: reading all modules was one already, and no task of the page is to be long.
setTimeout(() => {
  const root = document.getElementById('app');
  if (root) render(<App />, root);
  void start();
});
if (import.meta.env.PROD && 'serviceWorker' in navigator)
  // Without it the page works all the same, but not offline.
  void navigator.serviceWorker.register('service-worker.js').catch(() => undefined);
