/**
 * The crash guard: a message that takes its worker down comes again, and takes the next one down. How often a message was
 * delivered again is counted in a store before its handler runs, and beyond a limit it is given up.
 */
import { StoreError } from '../errors.ts'
import type { Logger } from '../log/logger.ts'
import type { TempStore } from '../store/temp-store.ts'
import type { Delivery } from './delivery.ts'

/** When a message is taken for one that kills its workers. */
export interface CrashGuardOptions {
  /** Where deliveries are counted; shared by all workers of the service. From `eventail/store`. */
  readonly store: TempStore
  /** Deliveries after the first one that a message may have without being settled. @default 5 */
  readonly maxRedeliveries?: number
}

const DAY_MS = 86_400_000

export class CrashGuard {
  readonly #service: string
  readonly #options: Required<CrashGuardOptions>
  readonly #logger: Logger

  constructor(service: string, options: Required<CrashGuardOptions>, logger: Logger) {
    this.#service = service
    this.#options = options
    this.#logger = logger
  }

  /** Counts a delivery. @returns whether the message may be handled; a store that is down forbids nothing */
  async allows(delivery: Delivery): Promise<boolean> {
    const key = this.#keyOf(delivery)
    if (key === undefined) return true
    const { store, maxRedeliveries } = this.#options
    try {
      const before = await store.peek(key)
      const count = (typeof before === 'number' ? before : 0) + 1
      // only one worker has a message at a time
      await store.set(key, count, { ttlMs: DAY_MS })
      return count <= maxRedeliveries
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#logger.write('WARNING', `the crash guard cannot count: ${error.message}`)
      return true
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
