/**
 * Doing the work of a message once: what was done is remembered under the message's id in a store that the workers share.
 *
 * The order is: do the work, have its publishes confirmed, remember, acknowledge. A crash between doing and remembering leads to a
 * repeat, never to a loss; so does a store that forgets.
 */
import { InvalidSettingError } from '../errors.ts'
import { checkFunction, checkOptions, checkWholeMs, describe, LONGEST_TIMER_MS } from '../options.ts'
import type { TempStore } from '../store/temp-store.ts'

/**
 * How a handler does its work once per message. Not for handlers that settle by themselves (SETTLE_LATER, `ack`, `nack`, a batch): that
 * is a PermanentError.
 */
export interface OnceOptions<C> {
  /** Where is remembered what was done; shared by all workers of the service. From `eventail/store`. */
  readonly store: TempStore
  /**
   * What tells one message of this handler from another; undefined for one that is handled however often it comes.
   * @default its `messageId`, which peers in Python do not set
   */
  readonly key?: (context: C) => string | undefined
  /** For how long it is remembered, in milliseconds: longer than a message may wait anywhere. @default 604_800_000: 7 days */
  readonly ttlMs?: number
  /**
   * For how long no other worker may begin with a copy, in milliseconds; after a crash in the handler the message waits so long.
   * A handler that goes on after its time is up keeps it until it ends.
   * @default a minute more than the handler may take, a day at most
   */
  readonly lockMs?: number
  /**
   * What is done while the store is down: `requeue` gives the message back after 5 s, with an ALERT, as often as need be; `handle`
   * handles it, with a WARNING, and perhaps twice.
   * @default 'requeue'
   */
  readonly whenDown?: 'requeue' | 'handle'
}

/** {@link OnceOptions} with every default, for any context. */
export interface Once {
  readonly store: TempStore
  /** Undefined for the `messageId`. */
  readonly key: ((context: never) => string | undefined) | undefined
  readonly ttlMs: number
  /** Undefined for what follows from the handler's time. */
  readonly lockMs: number | undefined
  readonly whenDown: 'requeue' | 'handle'
}

const WEEK_MS = 604_800_000

/** @throws InvalidSettingError */
export function resolveOnce(options: OnceOptions<never>): Once {
  checkOptions('once', options, ['store', 'key', 'ttlMs', 'lockMs', 'whenDown'])
  const { store, key, ttlMs = WEEK_MS, lockMs, whenDown = 'requeue' } = options
  if (typeof store !== 'object' || store === null || typeof store.peekOrCreate !== 'function')
    throw new InvalidSettingError('once.store', `must be a store of eventail/store, not ${describe(store)}`)
  if (key !== undefined) checkFunction('once.key', key)
  checkWholeMs('once.ttlMs', ttlMs)
  if (lockMs !== undefined) checkWholeMs('once.lockMs', lockMs, 1, LONGEST_TIMER_MS)
  if (whenDown !== 'requeue' && whenDown !== 'handle')
    throw new InvalidSettingError('once.whenDown', `must be requeue or handle, not ${describe(whenDown)}`)
  return { store, key, ttlMs, lockMs, whenDown }
}
