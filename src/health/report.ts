/** The health of the services of one program, taken together. */
import type { ServiceHealth } from '../service/health.ts'
import type { ObservedWorker } from '../service/observer.ts'

/** What the health server answers, as JSON. */
export interface HealthReport {
  /** Whether no worker has stopped. */
  readonly isLive: boolean
  /** Whether there are workers, and all of them are ready. */
  readonly isReady: boolean
  /** What is wanting, a line each. */
  readonly problems: readonly string[]
  readonly services: readonly ServiceHealth[]
}

export class Workers {
  readonly #running = new Set<ObservedWorker>()
  /** What the last worker of a service said when it stopped, until another one begins. */
  readonly #stopped = new Map<string, ServiceHealth>()

  begin(worker: ObservedWorker): void {
    this.#running.add(worker)
    this.#stopped.delete(worker.service)
  }

  end(worker: ObservedWorker): void {
    this.#running.delete(worker)
    this.#stopped.set(worker.service, worker.health())
  }

  get running(): ReadonlySet<ObservedWorker> {
    return this.#running
  }

  report(): HealthReport {
    const services = [...[...this.#running].map((worker) => worker.health()), ...this.#stopped.values()]
    const problems = services.flatMap(({ service, problems }) => problems.map((problem) => `${service}: ${problem}`))
    if (services.length === 0) problems.push('no service has begun: give the health server to start() or run()')
    return {
      isLive: services.every(({ isLive }) => isLive),
      isReady: problems.length === 0,
      problems,
      services,
    }
  }
}
