/** Workers that lose their connection, and find very many messages when they are back. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import amqp from 'amqplib'
import { Proxy } from '../bus/proxy.ts'

const DRAINER = fileURLToPath(new URL('programs/drainer.mjs', import.meta.url))
const SAMPLE_MS = 100
const PATIENCE_MS = 180_000

export interface BacklogOptions {
  readonly url: string
  /** Messages that wait when the workers are back. */
  readonly messages: number
  readonly workers: number
}

export interface BacklogReport {
  /** Messages a second of a smaller backlog, as long as all workers were at it. */
  readonly normalRate: number
  /** The best second of the first five after the connection was back. */
  readonly bestRate: number
  /** By how much the memory of a worker grew, of the one where it grew most. */
  readonly rssMiB: number
  /** What each worker handled of the mean, once all were at it. */
  readonly shares: readonly number[]
  /** How long it took until the queue was empty. */
  readonly tookMs: number
}

class Drainer {
  handled = 0
  rssMiB = 0
  mostMiB = 0
  readonly child: ChildProcess
  readonly exited: Promise<unknown>

  constructor(url: string, name: string) {
    this.child = spawn(process.execPath, [DRAINER, url, name], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.exited = once(this.child, 'close')
    if (this.child.stdout === null) return
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      const { handled, rssMiB } = JSON.parse(line) as { handled: number; rssMiB: number }
      this.handled = handled
      this.rssMiB = rssMiB
      this.mostMiB = Math.max(this.mostMiB, rssMiB)
    })
  }
}

export async function runBacklog({ url, messages, workers }: BacklogOptions): Promise<BacklogReport> {
  const name = `backlog-${process.pid}`
  await using proxy = await Proxy.start(Number(new URL(url).port))
  const drainers = Array.from({ length: workers }, () => new Drainer(proxy.through(url), name))
  const connection = await amqp.connect(url)
  try {
    await until(() => drainers.every(({ rssMiB }) => rssMiB > 0))
    const small = await drain(proxy, connection, name, drainers, Math.ceil(messages / 5))
    for (const drainer of drainers) drainer.mostMiB = drainer.rssMiB
    const before = drainers.map(({ rssMiB }) => rssMiB)
    const large = await drain(proxy, connection, name, drainers, messages)
    const grown = drainers.map(({ mostMiB }, index) => mostMiB - (before[index] ?? 0))
    return {
      normalRate: Math.round(small.rate),
      bestRate: Math.round(large.bestRate),
      rssMiB: Math.round(Math.max(...grown)),
      shares: large.shares,
      tookMs: Math.round(large.tookMs),
    }
  } finally {
    for (const { child } of drainers) child.kill('SIGTERM')
    await Promise.all(drainers.map(({ exited }) => exited))
    await connection.close()
  }
}

/** The connections are half-open while the queue fills; then they break, and are made again. */
async function drain(
  proxy: Proxy,
  connection: Awaited<ReturnType<typeof amqp.connect>>,
  name: string,
  drainers: readonly Drainer[],
  messages: number,
): Promise<{ rate: number; bestRate: number; shares: readonly number[]; tookMs: number }> {
  const total = (): number => drainers.reduce((sum, { handled }) => sum + handled, 0)
  const first = total()
  proxy.freeze('down')
  const channel = await connection.createConfirmChannel()
  const body = Buffer.from(JSON.stringify('x'.repeat(200)))
  for (let n = 0; n < messages; n++) {
    channel.publish('events', `${name}.Work`, body, { persistent: true, headers: { conversation_id: 'c' } })
    if (n % 5000 === 0) await channel.waitForConfirms()
  }
  await channel.waitForConfirms()
  const each = drainers.map(({ handled }) => handled)
  proxy.pass()
  proxy.cut()
  const began = performance.now()
  const samples: { at: number; handled: number }[] = []
  let all: { at: number; each: readonly number[] } | undefined
  await until(() => {
    const at = performance.now() - began
    samples.push({ at, handled: total() - first })
    if (all === undefined && drainers.every(({ handled }, index) => handled > (each[index] ?? 0)))
      all = { at, each: drainers.map(({ handled }) => handled) }
    return total() - first >= messages
  })
  const tookMs = performance.now() - began
  await channel.close()
  const since = all ?? { at: 0, each }
  const handled = drainers.map((drainer, index) => drainer.handled - (since.each[index] ?? 0))
  const sum = handled.reduce((a, b) => a + b, 0)
  return {
    rate: (sum * 1000) / Math.max(SAMPLE_MS, tookMs - since.at),
    bestRate: bestSecond(samples.filter(({ at }) => at <= 5000)),
    shares: handled.map((count) => Number((count / (sum / drainers.length)).toFixed(2))),
    tookMs,
  }
}

/** The most that was handled between two samples that are a second apart, at least. */
function bestSecond(samples: readonly { at: number; handled: number }[]): number {
  let best = 0
  for (const end of samples) {
    const start = samples.findLast(({ at }) => at <= end.at - 1000)
    if (start !== undefined) best = Math.max(best, ((end.handled - start.handled) * 1000) / (end.at - start.at))
  }
  return best
}

async function until(isSo: () => boolean): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !isSo(); await delay(SAMPLE_MS)) {
    if (performance.now() > end) throw new Error('the backlog is not done, long after it should be')
  }
}
