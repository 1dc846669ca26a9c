/** @file Prometheus metrics: what the server is asked, how long it takes and how much waits. */
import { CalotypeError } from 'calotype';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { DrawResult } from '../draw-request.ts';
import { PHASES } from '../phases.ts';
import type { JobQueue } from '../queue/queue.ts';

/** Seconds of jobs: from one distilled step on a GPU to many on a CPU. */
const SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

/** Of phases that are shorter than jobs. */
const SHORT_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05];

/** The metrics of one server or worker. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #seconds: Histogram<'model'>;
  readonly #phases: Histogram<'model' | 'phase'>;
  readonly #busy: Counter<'model'>;
  readonly #pictures: Counter<'model'>;
  readonly #failures: Counter<'model' | 'reason'>;

  /** @param source what it asks when it is asked itself */
  constructor(source: Pick<JobQueue, 'counts' | 'parts'>) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#seconds = new Histogram({
      name: 'calotype_job_seconds',
      help: 'Time from the acceptance of a job to its pictures',
      labelNames: ['model'],
      buckets: SECONDS,
      registers,
    });
    this.#phases = new Histogram({
      name: 'calotype_phase_seconds',
      help: 'Time that finished jobs spent in each phase; pictures of a batch share it',
      labelNames: ['model', 'phase'],
      buckets: [...SHORT_SECONDS, ...SECONDS],
      registers,
    });
    this.#busy = new Counter({
      name: 'calotype_runner_busy_seconds_total',
      help: 'Time that the threads which feed devices were at work themselves; one that always is holds its device up',
      labelNames: ['model'],
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
    const jobs = new Gauge({
      name: 'calotype_jobs',
      help: 'Jobs in the queue; of none while the queue cannot be reached',
      labelNames: ['state'],
      registers: [],
      async collect() {
        this.reset();
        const counts = await source.counts().catch(() => undefined);
        if (!counts) return;
        this.set({ state: 'waiting' }, counts.waiting);
        this.set({ state: 'active' }, counts.active);
      },
    });
    const up = new Gauge({
      name: 'calotype_part_up',
      help: 'Whether a part that jobs depend on is there: Redis, or the process of a device',
      labelNames: ['part'],
      registers: [],
      collect() {
        for (const { name, isUp } of source.parts()) this.set({ part: name }, isUp ? 1 : 0);
      },
    });
    const lost = new Counter({
      name: 'calotype_part_failures_total',
      help: 'Times that a part ended, was lost or failed',
      labelNames: ['part'],
      registers: [],
      collect() {
        this.reset();
        for (const { name, failures } of source.parts()) this.inc({ part: name }, failures);
      },
    });
    this.#registry.registerMetric(jobs);
    this.#registry.registerMetric(up);
    this.#registry.registerMetric(lost);
  }

  /** @param seconds since it was accepted */
  finished(model: string, seconds: number, { pictures, phases, busySeconds }: DrawResult): void {
    this.#seconds.observe({ model }, seconds);
    this.#pictures.inc({ model }, pictures.length);
    this.#busy.inc({ model }, busySeconds);
    for (const phase of PHASES) this.#phases.observe({ model, phase }, phases[phase] ?? 0);
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
