/** @file Prometheus metrics: what the server is asked, how long it takes and how much waits. */
import { CalotypeError } from 'calotype';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { JobQueue } from '../queue/queue.ts';

/** Seconds of jobs: from one distilled step on a GPU to many on a CPU. */
const SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

/** The metrics of one server. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #seconds: Histogram<'model'>;
  readonly #pictures: Counter<'model'>;
  readonly #failures: Counter<'model' | 'reason'>;

  constructor(queue: JobQueue) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#seconds = new Histogram({
      name: 'calotype_job_seconds',
      help: 'Time from the acceptance of a job to its pictures',
      labelNames: ['model'],
      buckets: SECONDS,
      registers,
    });
    this.#pictures = new Counter({
      name: 'calotype_pictures_total',
      help: 'Pictures drawn',
      labelNames: ['model'],
      registers,
    });
    this.#failures = new Counter({
      name: 'calotype_job_failures_total',
      help: 'Jobs that ended without pictures, by reason',
      labelNames: ['model', 'reason'],
      registers,
    });
    const gauge = new Gauge({
      name: 'calotype_jobs',
      help: 'Jobs in the queue',
      labelNames: ['state'],
      registers,
      async collect() {
        const { waiting, active } = await queue.counts();
        this.set({ state: 'waiting' }, waiting);
        this.set({ state: 'active' }, active);
      },
    });
    gauge.set({ state: 'waiting' }, 0);
  }

  finished(model: string, seconds: number, pictures: number): void {
    this.#seconds.observe({ model }, seconds);
    this.#pictures.inc({ model }, pictures);
  }

  failed(model: string, error: unknown): void {
    const isAbort = error instanceof DOMException && error.name === 'AbortError';
    const reason = error instanceof CalotypeError ? error.code : isAbort ? 'cancelled' : 'internal';
    this.#failures.inc({ model, reason });
  }

  /** In Prometheus' text format. */
  async text(): Promise<string> {
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}
