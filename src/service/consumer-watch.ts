/**
 * Notices a consumer that the broker has forgotten: messages wait in its queue, nothing is in hand, and nothing comes. After fail-overs
 * brokers have left channels behind on which nothing happened any more, on connections that were alive.
 */

/** How often the queues are looked at. */
const BEAT_MS = 30_000
/** So many looks one after the other have to find nothing but messages that wait. */
const MOST_QUIET = 2
/** A queue that was silent before is borne for twice as long each time, up to four hours: others may come first (priority, single active consumer). */
const MOST_PATIENCE = 480
/** What a connection on which nothing but heartbeats comes reads between two looks, at most. */
const SILENT_BYTES = 10_000

/** A queue that is consumed. */
export interface Watched {
  readonly queue: string
  /** Deliveries so far. */
  readonly delivered: number
  /** Deliveries that are not settled. */
  readonly inHand: number
}

export interface ConsumerWatchOptions {
  readonly watched: () => readonly Watched[]
  /** Messages that wait in a queue. @throws when the broker does not answer */
  readonly waitingIn: (queue: string) => Promise<number>
  /** What the connection has read so far. */
  readonly bytesRead: () => number
  /** How many looks each queue is given; kept over connections, until something is delivered. */
  readonly patience: Map<string, number>
  readonly onStuck: (problem: string) => void
}

export class ConsumerWatch {
  readonly #options: ConsumerWatchOptions
  readonly #seen = new Map<string, { delivered: number; quiet: number }>()
  readonly #beat: NodeJS.Timeout
  #bytesRead = 0

  constructor(options: ConsumerWatchOptions) {
    this.#options = options
    this.#beat = setInterval(() => {
      const isSilent = options.bytesRead() - this.#bytesRead < SILENT_BYTES
      this.#bytesRead = options.bytesRead()
      for (const { queue } of options.watched()) void this.#look(queue, isSilent)
    }, BEAT_MS)
  }

  end(): void {
    clearInterval(this.#beat)
  }

  async #look(queue: string, isSilent: boolean): Promise<void> {
    if (this.#isBusy(queue)) return
    // what was sent before the answer has come before it; on a busy line it may be late
    const waiting = await this.#options.waitingIn(queue).catch(() => (isSilent ? undefined : 0))
    const seen = this.#seen.get(queue)
    if (seen === undefined || this.#isBusy(queue)) return
    seen.quiet = waiting === 0 ? 0 : seen.quiet + 1
    const { patience } = this.#options
    const most = patience.get(queue) ?? MOST_QUIET
    if (seen.quiet < most) return
    patience.set(queue, Math.min(MOST_PATIENCE, 2 * most))
    this.end()
    const which = waiting === undefined ? 'the broker says nothing about it' : `${waiting} messages wait there`
    this.#options.onStuck(`nothing comes from queue '${queue}', and ${which}: consuming begins anew`)
  }

  /** Whether something was delivered since the last look, or is in hand. */
  #isBusy(queue: string): boolean {
    const now = this.#options.watched().find((watched) => watched.queue === queue)
    if (now === undefined) return true
    const before = this.#seen.get(queue)
    if (now.inHand === 0 && before?.delivered === now.delivered) return false
    if (now.delivered > 0) this.#options.patience.delete(queue)
    this.#seen.set(queue, { delivered: now.delivered, quiet: 0 })
    return true
  }
}
