/** A worker as its user sees it. */
import type { Bus } from './contexts.ts'
import type { ServiceHealth } from './health.ts'

/**
 * Where a worker is in its life.
 *
 * - `connecting`: it has no connection, or is declaring what it needs; nothing is consumed
 * - `unconfigured`: it consumes configurations only, until a handler of one answers `true`; again after each reconnect
 * - `ready`: it consumes everything
 * - `stopping`: it takes no more, and finishes what is in hand
 * - `stopped`: for good
 */
export type WorkerState = 'connecting' | 'unconfigured' | 'ready' | 'stopping' | 'stopped'

/** A worker that is running. */
export interface RunningService extends Bus, AsyncDisposable {
  /** The logical service. */
  readonly service: string
  /** Where it is in its life, now. */
  readonly state: WorkerState
  /** Messages that were published and are not confirmed yet. */
  readonly pendingPublishes: number
  /** Whether it lives and is ready, and what it lacks, at this moment. */
  readonly health: () => ServiceHealth
  /**
   * Stops: no more messages are taken, those in hand are finished and acknowledged, what was published is confirmed.
   * What is not done after `drainTimeoutMs` is given back to the broker. May be called again at any time. A
   * handler must not await it: the stop waits for the handler.
   * @returns resolves when the worker has stopped; never rejects
   */
  readonly stop: () => Promise<void>
  /** Resolves when the worker has stopped, for whatever reason; never rejects. */
  readonly stopped: Promise<void>
  /** Why the worker stopped by itself; undefined while it works, and when it was stopped by `stop()` or `signal`. */
  readonly failure: Error | undefined
}
