/** Whoever watches workers from inside the program: told of each from its beginning, and of what becomes of its messages. */
import type { LogChannel } from '../transport/log-channel.ts'
import type { Publisher } from '../transport/publisher.ts'
import type { QueueKind } from '../wire/envelope.ts'
import type { DeliveryOutcome } from './delivery.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Handler } from './handlers.ts'
import type { QueueInUse, Work } from './in-hand.ts'
import type { ServiceHealth } from './health.ts'

/** What `start` and `run` take as `health`: a health server, or something of your own. */
export interface HealthObserver {
  /**
   * A worker begins; called before it connects. Its health and its figures may be asked for once this has returned.
   * @returns what is told of its messages; what that throws is ignored
   */
  watch(worker: ObservedWorker): WorkerEvents
}

/** A worker as its observer sees it. */
export interface ObservedWorker {
  /** The logical service. */
  readonly service: string
  readonly health: () => ServiceHealth
  readonly figures: () => WorkerFigures
  /** What it has to do, now. */
  readonly work: () => Work
  /**
   * Looks at its queues, on the channel that it consumes on: what the broker had delivered before has arrived then.
   * @returns none while it has no connection; rejects when the connection is lost meanwhile
   */
  readonly queues: () => Promise<readonly QueueInUse[]>
}

/** What an observer is told, at the moment when it happens. */
export interface WorkerEvents {
  /**
   * A message was settled, or was lost with its connection and comes again.
   * @param handler undefined when there is none, or the message breaks its contract
   */
  readonly settled?: (outcome: DeliveryOutcome, queue: QueueKind, handler: Handler | undefined) => void
  /** A handler has ended, also after its time was up. */
  readonly ran?: (handler: Handler, ms: number) => void
  /** The worker has stopped. */
  readonly stopped?: () => void
}

/** Numbers of a worker at one moment; those that count do so from its beginning. */
export interface WorkerFigures {
  /** Handlers that have not ended. */
  readonly runningHandlers: number
  /** Messages that were delivered and are not settled. */
  readonly messagesInHand: number
  /** Publishes that are not confirmed yet. */
  readonly pendingPublishes: number
  readonly confirmedPublishes: number
  /** Publishes that were rejected, by the code of the error; `OTHER` for errors that are not ours. */
  readonly failedPublishes: ReadonlyMap<string, number>
  /** Whether the broker blocks publishers. */
  readonly isBlocked: boolean
  readonly reconnects: number
  /** Log records that the broker could not take, and that were dropped. */
  readonly droppedLogRecords: number
}

/** @param connections that worked so far */
export function figuresOf(
  { running, open }: Pick<Dispatcher, 'running' | 'open'>,
  { pending, outcomes, blocked }: Pick<Publisher, 'pending' | 'outcomes' | 'blocked'>,
  { dropped }: Pick<LogChannel, 'dropped'>,
  connections: number,
): WorkerFigures {
  return {
    runningHandlers: running,
    messagesInHand: open.size,
    pendingPublishes: pending,
    confirmedPublishes: outcomes.confirmed,
    failedPublishes: new Map(outcomes.failed),
    isBlocked: blocked !== undefined,
    reconnects: Math.max(0, connections - 1),
    droppedLogRecords: dropped,
  }
}

/** The same events, of which none throws. */
export function harmless({ settled, ran, stopped }: WorkerEvents): WorkerEvents {
  return {
    ...(settled && {
      settled: (outcome, queue, handler) => ignoringErrors(() => settled(outcome, queue, handler)),
    }),
    ...(ran && { ran: (handler, ms) => ignoringErrors(() => ran(handler, ms)) }),
    ...(stopped && { stopped: () => ignoringErrors(stopped) }),
  }
}

function ignoringErrors(tell: () => void): void {
  try {
    tell()
  } catch {
    // the observer failed: it must not fail the work that it watches
  }
}
