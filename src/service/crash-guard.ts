/**
 * The crash guard: a message that takes its worker down comes again, and takes the next one down. How often a message was
 * delivered again is counted in a store before its handler runs, and beyond a limit it is given up.
 */
import { StoreError } from '../errors.ts'
import type { Logger } from '../log/logger.ts'
import type { TempStore } from '../store/temp-store.ts'
import { unlessAborted } from '../transport/reconnect.ts'
import type { Delivery } from './delivery.ts'

/** When a message is taken for one that kills its workers. */
export interface CrashGuardOptions {
  /** Where deliveries are counted; shared by all workers of the service. From `eventail/store`. */
  readonly store: TempStore
  /** Deliveries after the first one that a message may have without being settled. @default 5 */
  readonly maxRedeliveries?: number
}

/** Whether a message may be handled. Has to be ended, however its handling ends. */
export interface Admission {
  readonly isAllowed: boolean
  readonly end: () => void
}

const DAY_MS = 86_400_000
const FREE: Admission = { isAllowed: true, end: () => {} }

export class CrashGuard {
  readonly #service: string
  readonly #options: Required<CrashGuardOptions>
  readonly #logger: Logger
  /** Settled when the last suspect message was handled. */
  #suspect: Promise<void> = Promise.resolve()

  constructor(service: string, options: Required<CrashGuardOptions>, logger: Logger) {
    this.#service = service
    this.#options = options
    this.#logger = logger
  }

  /**
   * Counts a delivery. A message that was counted before is suspect: such are handled one at a time, so that those that were only
   * beside the deadly one are not counted with it.
   * @returns whether the message may be handled, and what to call when it was; a store that is down forbids nothing
   */
  async admit(delivery: Delivery, signal: () => AbortSignal): Promise<Admission> {
    const key = this.#keyOf(delivery)
    if (key === undefined) return FREE
    const { store, maxRedeliveries } = this.#options
    let release = (): void => {}
    try {
      const before = await store.peek(key)
      const count = (typeof before === 'number' ? before : 0) + 1
      if (count > 1) {
        const previous = this.#suspect
        const handled = new Promise<void>((resolve) => (release = resolve))
        this.#suspect = previous.then(() => handled)
        const ended = signal()
        await unlessAborted(previous, ended)
        if (ended.aborted) return { isAllowed: true, end: release }
      }
      // only one worker has a message at a time
      await store.set(key, count, { ttlMs: DAY_MS })
      return { isAllowed: count <= maxRedeliveries, end: release }
    } catch (error) {
      if (!(error instanceof StoreError)) {
        release()
        throw error
      }
      this.#logger.write('WARNING', `the crash guard cannot count: ${error.message}`)
      return { isAllowed: true, end: release }
    }
  }

  /** A message was settled: it kills nobody. */
  async forget(delivery: Delivery): Promise<void> {
    const key = this.#keyOf(delivery)
    if (key !== undefined) await this.#options.store.pop(key).catch(() => {})
  }

  /** Messages that were never delivered before, or have no id, are not counted. */
  #keyOf({ message }: Delivery): string | undefined {
    const { messageId } = message.properties
    if (!message.redelivered || messageId === undefined || messageId === '') return undefined
    return `crash:${this.#service}:${messageId}`
  }
}
