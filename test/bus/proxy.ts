/** A TCP proxy that breaks connections in all the ways in which networks do. */
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** A slow line passes what it may in slices of this length. */
const SLICE_MS = 50

type Way = 'up' | 'down'
interface Pair {
  readonly client: net.Socket
  readonly broker: net.Socket
}

export class Proxy implements AsyncDisposable {
  readonly #server: net.Server
  readonly #pairs = new Set<Pair>()
  #refusing = false
  readonly #frozen: Record<Way, boolean> = { up: false, down: false }
  #delayMs = 0
  #bytesPerSecond = Number.POSITIVE_INFINITY
  #bytesLeft = Number.POSITIVE_INFINITY
  /** Connections that were opened so far. */
  opened = 0

  private constructor(targetPort: number) {
    this.#server = net.createServer((client) => this.#accept(client, targetPort))
  }

  /** Listens on a free port of the loopback address. `up` is from the client to the broker. */
  static async start(targetPort: number): Promise<Proxy> {
    const proxy = new Proxy(targetPort)
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port
  }

  /** The URL with this proxy in the place of the broker. */
  through(url: string): string {
    const through = new URL(url)
    through.port = String(this.port)
    return through.href
  }

  /** Everything passes again. */
  pass(): void {
    this.#refusing = false
    this.#delayMs = 0
    this.#bytesPerSecond = Number.POSITIVE_INFINITY
    this.#bytesLeft = Number.POSITIVE_INFINITY
    this.#frozen.up = false
    this.#frozen.down = false
  }

  /** Resets every connection; new ones pass. */
  cut(): void {
    for (const pair of this.#pairs) this.#reset(pair)
  }

  /** Resets every connection, and new ones at once. */
  refuse(): void {
    this.#refusing = true
    this.cut()
  }

  /** Half-open: nothing passes and nothing is closed, in one way or both. */
  freeze(...ways: Way[]): void {
    for (const way of ways.length === 0 ? (['up', 'down'] as const) : ways) this.#frozen[way] = true
  }

  delay(ms: number): void {
    this.#delayMs = ms
  }

  /** So much passes on each connection, each way. */
  slow(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond
  }

  /** Resets the connection on which this many more bytes went up, in the middle of a frame if that is where it is. */
  cutAfter(bytes: number): void {
    this.#bytesLeft = bytes
  }

  async close(): Promise<void> {
    this.pass()
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #accept(client: net.Socket, targetPort: number): void {
    this.opened += 1
    client.on('error', () => {})
    if (this.#refusing) {
      client.resetAndDestroy()
      return
    }
    const broker = net.connect(targetPort, '127.0.0.1')
    broker.on('error', () => {})
    const pair = { client, broker }
    this.#pairs.add(pair)
    client.on('close', () => this.#pairs.delete(pair))
    void this.#pump(pair, client, broker, 'up')
    void this.#pump(pair, broker, client, 'down')
  }

  async #pump(pair: Pair, from: net.Socket, to: net.Socket, way: Way): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        await this.#thaw(pair, way)
        if (this.#delayMs > 0) await delay(this.#delayMs)
        if (way === 'up' && chunk.length > this.#bytesLeft) {
          to.write(chunk.subarray(0, this.#bytesLeft))
          await delay(20)
          this.#bytesLeft = Number.POSITIVE_INFINITY
          this.#reset(pair)
          return
        }
        if (way === 'up') this.#bytesLeft -= chunk.length
        await this.#write(to, chunk)
      }
      await this.#thaw(pair, way)
      to.end()
    } catch {
      this.#reset(pair)
    }
  }

  async #write(to: net.Socket, chunk: Buffer): Promise<void> {
    let left = chunk
    while (left.length > 0 && !to.destroyed) {
      const most = Math.ceil((this.#bytesPerSecond * SLICE_MS) / 1000)
      if (most < left.length) await delay(SLICE_MS)
      const slice = left.subarray(0, Math.min(most, left.length))
      left = left.subarray(slice.length)
      if (!to.write(slice)) await new Promise((resolve) => to.once('drain', resolve).once('close', resolve))
    }
  }

  async #thaw(pair: Pair, way: Way): Promise<void> {
    while (this.#frozen[way] && !pair.client.destroyed) await delay(5)
  }

  #reset(pair: Pair): void {
    pair.client.resetAndDestroy()
    pair.broker.resetAndDestroy()
    this.#pairs.delete(pair)
  }
}
