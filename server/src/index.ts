/** @file The public API of `@calotype/server`: pipelines behind HTTP. */
export { serve, type ServeOptions, type Served } from './serve.ts';
export { createApp, type AppOptions } from './api/app.ts';
export { PictureLinks } from './api/links.ts';
export type { DrawRequest, DrawResult, DrawStep, Picture } from './draw-request.ts';
export { KeyRing, parseKeys } from './limits/keys.ts';
export { DEFAULT_LIMITS, type Limits } from './limits/limits.ts';
export { type AddedSource, type NamedSource, readAddedSources, readSources } from './models.ts';
export { MemoryQueue } from './queue/memory-queue.ts';
export type { JobQueue, News, Part } from './queue/queue.ts';
export { RedisQueue } from './queue/redis-queue.ts';
export { RedisWorker } from './queue/redis-worker.ts';
export type { IpAdapterSource } from './runner/addition-options.ts';
export { type HostOptions, PipelineHost } from './runner/pipeline-host.ts';
export { ProcessRunner, type RunnerProgram } from './runner/process-runner.ts';
export type { Runner } from './runner/runner.ts';
export { FolderStore } from './storage/folder-store.ts';
export { openStore } from './storage/open-store.ts';
export type { PictureStore } from './storage/store.ts';
