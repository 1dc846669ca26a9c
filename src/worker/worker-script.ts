/** @file The script that runs in the worker. */
import { WorkerHost } from './host.ts';
import type { FromWorker, ToWorker } from './protocol.ts';

/** The part of a worker's global scope that is used. */
interface WorkerScope {
  postMessage(message: FromWorker, transfer: readonly ArrayBuffer[]): void;
  addEventListener(type: 'message', listener: (event: { readonly data: ToWorker }) => void): void;
}

declare const self: WorkerScope;

const host = new WorkerHost((message, transfer = []) => self.postMessage(message, transfer));
self.addEventListener('message', ({ data }) => host.receive(data));
