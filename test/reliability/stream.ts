/** Numbered events from an endpoint to a service, one after the other, and how long they stood still. */
import { setTimeout as delay } from 'node:timers/promises'
import { defineService, Endpoint, type LogRecord, onEvent, type RunningService } from 'eventail'

const EACH_MS = 10

export interface StreamOptions {
  /** Of the endpoint, in this order. */
  readonly publishTo: readonly string[]
  /** Of the service, in this order. */
  readonly consumeFrom: readonly string[]
  readonly heartbeatMs?: number
  readonly confirmTimeoutMs: number
  readonly publishRetryDelayMs?: number
}

export class Stream implements AsyncDisposable {
  readonly confirmed = new Set<number>()
  readonly received = new Map<number, number>()
  /** Publishes that were rejected, by what they said. */
  readonly rejected: string[] = []
  /** What both logged, each line with its time since the start in seconds. */
  readonly log: string[]
  readonly #endpoint: Endpoint
  readonly #worker: RunningService
  readonly #stop = new AbortController()
  readonly #publishing: Promise<void>
  #published = 0
  readonly #last = { confirmed: performance.now(), received: performance.now() }
  readonly #longest = { confirmed: 0, received: 0 }

  private constructor(
    endpoint: Endpoint,
    worker: RunningService,
    log: string[],
    noteReceived: (note: (seq: number) => void) => void,
  ) {
    this.#endpoint = endpoint
    this.#worker = worker
    this.log = log
    noteReceived((seq) => {
      this.received.set(seq, (this.received.get(seq) ?? 0) + 1)
      this.#note('received')
    })
    this.#publishing = this.#publish()
  }

  static async start({ publishTo, consumeFrom, ...settings }: StreamOptions): Promise<Stream> {
    let note = (_seq: number): void => {}
    const log: string[] = []
    const began = performance.now()
    const onLog = ({ service, level, short }: LogRecord): void => {
      log.push(`${((performance.now() - began) / 1000).toFixed(1)} ${service} ${level} ${short}`)
    }
    const common = { ...settings, stderrLevel: 'NONE', onLog } as const
    const worker = await defineService({
      name: 'stream',
      prefetch: 50,
      handlers: [onEvent('Stream', ({ payload }) => note(Number(payload)))],
    }).start({ ...common, urls: consumeFrom })
    const endpoint = new Endpoint({ ...common, name: 'source', urls: publishTo })
    return new Stream(endpoint, worker, log, (given) => (note = given))
  }

  /** Forgets how long it stood still so far. */
  mark(): void {
    this.#longest.confirmed = 0
    this.#longest.received = 0
  }

  /** The longest time between two confirms, and between two messages received, since the mark; that which goes on now counts. */
  get stoodStillMs(): { readonly confirmed: number; readonly received: number } {
    const now = performance.now()
    return {
      confirmed: Math.max(this.#longest.confirmed, now - this.#last.confirmed),
      received: Math.max(this.#longest.received, now - this.#last.received),
    }
  }

  /** Waits until messages flow again that were published after this call. @throws Error when they do not in time */
  async flows(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs
    const seq = this.#published + 1
    while (!(this.confirmed.has(seq) && this.received.has(seq))) {
      if (performance.now() > deadline)
        throw new Error(
          `message ${seq} did not come through within ${withinMs} ms: ${JSON.stringify(this.stoodStillMs)}`,
        )
      await delay(20)
    }
  }

  /** Ends it. @returns the numbers that were confirmed and not received within so long */
  async end(withinMs = 30_000): Promise<number[]> {
    this.#stop.abort()
    await this.#publishing
    await this.#endpoint.close()
    const deadline = performance.now() + withinMs
    const lost = (): number[] => [...this.confirmed].filter((seq) => !this.received.has(seq))
    while (lost().length > 0 && performance.now() < deadline) await delay(100)
    await this.#worker.stop()
    return lost()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#endpoint.close()
    await this.#worker.stop()
  }

  async #publish(): Promise<void> {
    const pending: Promise<void>[] = []
    while (!this.#stop.signal.aborted) {
      this.#published += 1
      const seq = this.#published
      const publish = this.#endpoint.publish('Stream', seq).then(
        () => {
          this.confirmed.add(seq)
          this.#note('confirmed')
        },
        (error: unknown) => void this.rejected.push(String(error)),
      )
      pending.push(publish)
      await delay(EACH_MS)
    }
    await Promise.all(pending)
  }

  #note(what: 'confirmed' | 'received'): void {
    const now = performance.now()
    this.#longest[what] = Math.max(this.#longest[what], now - this.#last[what])
    this.#last[what] = now
  }
}
