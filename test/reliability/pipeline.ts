/**
 * The pipeline: numbered events go through three stages of services, each in processes of their own, while services and brokers are
 * killed. In the end it is counted what was lost and what came twice.
 *
 * producer → A → 2 × stage-1 → B → 2 × stage-2 → C → sink
 */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createTempStore, type TempStore } from 'eventail/store'
import type { Broker } from '../../dev/broker.mjs'
import { Fleet, type Program } from './fleet.ts'
import { Ledger } from './ledger.ts'

/** What each program is told. */
export interface ProgramOptions {
  readonly urls: readonly string[]
  readonly prefetch: number
  /** Where `once` remembers; undefined: without `once`. */
  readonly redis?: { readonly url: string; readonly namespace: string }
}

export interface PipelineOptions {
  /** The nodes that the programs connect to. Each run has a virtual host of its own on them. */
  readonly nodes: readonly Broker[]
  readonly messages: number
  /** How many times a program, chosen at random, is killed. */
  readonly serviceKills: number
  /** How many times a node, chosen at random, is killed, and started again at once. */
  readonly brokerKills: number
  /** How programs are killed. @default 'SIGKILL' */
  readonly signal?: 'SIGKILL' | 'SIGTERM'
  /** @default 'classic' */
  readonly queues?: 'classic' | 'quorum'
  /** Does the work of each stage once per number, remembered in this Redis. */
  readonly redisUrl?: string
  /** One worker of each of the first two stages is written in Python. @default false */
  readonly python?: boolean
  /** What the producer publishes at most, in messages a second. @default Infinity */
  readonly perSecond?: number
  /** Other faults and measurements while messages flow, after the kills. */
  readonly meanwhile?: (fleet: Fleet) => Promise<void>
  /** How often `meanwhile` cuts all connections. @default 0 */
  readonly cuts?: number
  /** Arguments of Node for the programs. @default [] */
  readonly nodeArguments?: readonly string[]
  /** What the pipeline does without faults, in messages a second: how soon it must be drained goes by it. */
  readonly undisturbedRate?: number
}

export interface PipelineReport {
  readonly messages: number
  readonly confirmed: number
  readonly lost: number
  /** Lines of the ledger beyond the first of each number. */
  readonly duplicates: number
  /** How many there may be. */
  readonly bound: number
  /** With `once`: duplicates of work that was remembered. Others were in hand, done and not remembered, when a process was killed. */
  readonly repeatedWork: number
  readonly seconds: number
  readonly brokerDownSeconds: number
  /** From the last fault until everything was through. */
  readonly drainSeconds: number
  readonly ratePerSecond: number
  /** What did not hold; empty when all did. */
  readonly problems: readonly string[]
}

const PREFETCH = 50
/** Five programs consume; the producer has as many publishes on their way as one of them. */
const CONSUMERS = 5
const STAGES = 3
const DRAIN_MS = 15_000
const SETTLE_MS = 30_000
/** Of the acknowledgements of a classic queue, a broker that is killed forgets those of the last moment. */
const FORGOTTEN_MS = 300
/** Longer than any recovery, and than it may take until the next kill. */
const STALL_MS = 180_000

export async function runPipeline(options: PipelineOptions): Promise<PipelineReport> {
  const directory = mkdtempSync(join(tmpdir(), 'eventail-pipeline-'))
  try {
    return await new Run(options, directory).run()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** The report in one line. */
export function lineOf(report: PipelineReport): string {
  const { messages, confirmed, lost, duplicates, bound, repeatedWork, seconds, brokerDownSeconds, drainSeconds } =
    report
  const rate = `${Math.round(report.ratePerSecond)}/s`
  const verdict = report.problems.length === 0 ? 'passed' : `FAILED: ${report.problems.join('; ')}`
  return [
    `${messages} messages`,
    `${confirmed} confirmed`,
    `${lost} lost`,
    `${duplicates} duplicates (bound ${bound})`,
    `${repeatedWork} of remembered work`,
    `${seconds.toFixed(1)} s (${rate})`,
    `broker down ${brokerDownSeconds.toFixed(1)} s`,
    `drained in ${drainSeconds.toFixed(1)} s`,
    verdict,
  ].join(', ')
}

class Run {
  readonly #options: PipelineOptions
  readonly #vhost = `pipeline-${randomUUID()}`
  readonly #files: { readonly confirmed: string; readonly sink: string }
  readonly #confirmed: Ledger
  readonly #sink: Ledger
  readonly #fleet: Fleet
  readonly #redis: ProgramOptions['redis']
  readonly #store: TempStore | undefined
  /** Numbers whose work was done and not remembered when a process was killed, by how often. */
  readonly #unremembered = new Map<string, number>()
  /** What the sink handled within {@link FORGOTTEN_MS} before each kill of a node. */
  readonly #justHandled: number[] = []
  #servicesKilled = 0
  #brokerDownMs = 0

  constructor(options: PipelineOptions, directory: string) {
    this.#options = options
    this.#files = { confirmed: join(directory, 'confirmed'), sink: join(directory, 'sink') }
    this.#confirmed = new Ledger(this.#files.confirmed)
    this.#sink = new Ledger(this.#files.sink)
    this.#fleet = new Fleet(process.env['EVENTAIL_PIPELINE_LOG'] ?? join(directory, 'log'))
    // of another run nothing is remembered
    if (options.redisUrl !== undefined) this.#redis = { url: options.redisUrl, namespace: `${this.#vhost}:` }
    this.#store = this.#redis && createTempStore({ ...this.#redis, timeoutMs: 20_000 })
  }

  async run(): Promise<PipelineReport> {
    const { messages, nodes, meanwhile } = this.#options
    await using fleet = this.#fleet
    await this.#addVhost()
    for (const program of this.#services()) fleet.start(program)
    const before = await this.#untilConsuming()
    const began = performance.now()
    fleet.start(this.#producer())
    const problems = await this.#breakThings()
    await meanwhile?.(fleet)
    const lastFault = performance.now()
    const left = messages - this.#sink.read().unique
    await Promise.race([this.#untilThrough(), delay(this.#longestDrainMs(left), undefined, { ref: false })])
    const through = performance.now()
    if (this.#sink.read().unique < messages)
      problems.push(`not drained: ${messages - this.#sink.unique} of ${left} are left after ${ms(through - lastFault)}`)
    else problems.push(...(await this.#settled(before)))
    await fleet.stop()
    await this.#store?.close()
    await nodes[0]?.ctl('delete_vhost', this.#vhost)
    return this.#report(began, lastFault, through, problems)
  }

  #report(began: number, lastFault: number, through: number, problems: string[]): PipelineReport {
    const { messages, redisUrl } = this.#options
    const confirmed = this.#confirmed.read()
    const sink = this.#sink.read()
    const lost = [...confirmed.counts.keys()].filter((seq) => !sink.counts.has(seq)).length
    const seconds = (through - began) / 1000
    const ratePerSecond = messages / (seconds - this.#brokerDownMs / 1000)
    const bound = this.#bound(ratePerSecond)
    const repeatedWork = redisUrl === undefined ? 0 : this.#repeatedWork()
    const all = [...this.#fleet.problems, ...problems]
    const { serviceKills, brokerKills } = this.#options
    const killed = [this.#servicesKilled, this.#justHandled.length] as const
    if (killed[0] < serviceKills || killed[1] < brokerKills)
      all.push(`only ${killed[0]} services and ${killed[1]} nodes were killed`)
    if (lost > 0) all.push(`${lost} were confirmed and never handled`)
    if (confirmed.unique !== messages) all.push(`${confirmed.unique} of ${messages} were confirmed`)
    if (sink.repeated > bound) all.push(`more duplicates than ${bound}`)
    if (repeatedWork > 0) all.push(`work that was remembered was done again ${repeatedWork} times`)
    return {
      messages,
      confirmed: confirmed.unique,
      lost,
      duplicates: sink.repeated,
      bound,
      repeatedWork,
      seconds,
      brokerDownSeconds: this.#brokerDownMs / 1000,
      drainSeconds: Math.max(0, through - lastFault) / 1000,
      ratePerSecond,
      problems: all,
    }
  }

  /** What a killed program had in hand comes again; a killed broker also forgets the last acknowledgements of its classic queues. */
  #bound(ratePerSecond: number): number {
    const { brokerKills, cuts = 0, signal = 'SIGKILL', queues = 'classic' } = this.#options
    const perService = signal === 'SIGTERM' ? 0 : PREFETCH
    const inHand = CONSUMERS * PREFETCH
    const onTheirWay = CONSUMERS * PREFETCH
    // the last stage works off a backlog several times faster than all do on average
    const onAverage = (ratePerSecond * FORGOTTEN_MS) / 1000
    const forgotten = this.#justHandled.map((count) => (STAGES - 1) * onAverage + Math.max(onAverage, count))
    return Math.round(
      this.#servicesKilled * perService +
        (cuts + brokerKills) * (inHand + onTheirWay) +
        (queues === 'classic' ? sum(forgotten) : 0),
    )
  }

  #repeatedWork(): number {
    let repeated = 0
    for (const [seq, count] of this.#sink.counts) {
      repeated += Math.max(0, count - 1 - (this.#unremembered.get(seq) ?? 0))
    }
    return repeated
  }

  #longestDrainMs(left: number): number {
    const { undisturbedRate } = this.#options
    return undisturbedRate === undefined ? 180_000 : (left / undisturbedRate) * 1500 + DRAIN_MS
  }

  async #addVhost(): Promise<void> {
    const { nodes, queues = 'classic' } = this.#options
    const [node] = nodes
    await node?.ctl('add_vhost', this.#vhost, '--default-queue-type', queues)
    await node?.ctl('set_permissions', '-p', this.#vhost, 'guest', '.*', '.*', '.*')
  }

  #services(): Program[] {
    const { python = false } = this.#options
    const sink: Program = {
      ...this.#program('sink', 'programs/sink.mjs', { service: 'sink', from: 'C', ledger: this.#files.sink }),
      onKilled: (pid) => this.#noteUnremembered(String(pid)),
    }
    const stages = [
      ['stage-1', 'A', 'B'],
      ['stage-2', 'B', 'C'],
    ].flatMap(([service, from, to]) =>
      [1, 2].map((n) => {
        const script = python && n === 2 ? 'peers/stage.py' : 'programs/stage.mjs'
        return this.#program(`${service} ${n}`, script, { service, from, to })
      }),
    )
    return [...stages, sink]
  }

  #producer(): Program {
    const { messages, perSecond = 1e9 } = this.#options
    const own = { messages, perSecond, window: PREFETCH, ledger: this.#files.confirmed }
    return { ...this.#program('producer', 'programs/producer.mjs', own), ends: true }
  }

  #program(name: string, script: string, own: object): Program {
    const { nodes } = this.#options
    const first = Math.floor(Math.random() * nodes.length)
    const urls = [...nodes.slice(first), ...nodes.slice(0, first)].map(({ url }) => `${url}/${this.#vhost}`)
    const options = { ...own, urls, prefetch: PREFETCH, ...(this.#redis && { redis: this.#redis }) }
    const file = fileURLToPath(new URL(script, import.meta.url))
    const run = [file, JSON.stringify(options)]
    if (script.endsWith('.py')) return { name, command: ['/usr/bin/python3', ...run] }
    return { name, command: [process.execPath, ...(this.#options.nodeArguments ?? []), ...run] }
  }

  /** Kills at random moments, all of them while messages flow. @returns what kept it from that */
  async #breakThings(): Promise<string[]> {
    const { messages, serviceKills, brokerKills } = this.#options
    const kinds = shuffled([
      ...Array.from({ length: serviceKills }, () => 'service' as const),
      ...Array.from({ length: brokerKills }, () => 'broker' as const),
    ])
    const moments = kinds.map(() => messages * (0.02 + 0.93 * Math.random())).toSorted((a, b) => a - b)
    for (const [n, kind] of kinds.entries()) {
      const deadline = performance.now() + STALL_MS
      while (this.#sink.read().unique < (moments[n] ?? 0)) {
        if (performance.now() > deadline) return [`stalled at ${this.#sink.unique} for ${ms(STALL_MS)}`]
        await delay(20)
      }
      await delay(300 * Math.random())
      if (kind === 'service') this.#killService()
      else await this.#killBroker(kinds[n + 1] === 'service' && Math.random() < 0.5)
    }
    return []
  }

  #killService(): void {
    const { signal } = this.#options
    // the producer is no service: a SIGTERM ends it at once
    const victims = this.#fleet.running.filter((name) => signal !== 'SIGTERM' || name !== 'producer')
    const name = any(victims)
    if (name === undefined) return
    this.#servicesKilled += 1
    this.#fleet.kill(name, signal)
  }

  /** @param early whether a service is killed while the broker is down (it is one more than asked for) */
  async #killBroker(early: boolean): Promise<void> {
    const node = any(this.#options.nodes)
    if (node === undefined) return
    const handledBefore = this.#sink.read().lines.length
    await delay(FORGOTTEN_MS)
    const began = performance.now()
    await node.kill()
    this.#justHandled.push(this.#sink.read().lines.length - handledBefore)
    await delay(500)
    if (early) this.#killService()
    await node.restart()
    // the others of a cluster go on
    if (this.#options.nodes.length === 1) this.#brokerDownMs += performance.now() - began
  }

  async #untilThrough(): Promise<void> {
    await this.#fleet.ended('producer')
    while (this.#sink.read().unique < this.#options.messages) await delay(100)
  }

  /** @returns what the broker has of connections, channels and consumers once everything consumes */
  async #untilConsuming(): Promise<string> {
    const deadline = performance.now() + 60_000
    for (;;) {
      const consumers = await this.#list('list_consumers', 'queue_name')
      // the store of a service that waits for it, and the connections, take a moment
      if (consumers.length === CONSUMERS) break
      if (performance.now() > deadline)
        throw new Error(`${consumers.length} of ${CONSUMERS} programs consume after 60 s`)
      await delay(200)
    }
    await delay(500)
    return this.#census()
  }

  /** Waits until the broker has what it had before, and nothing else. @returns what it still has */
  async #settled(before: string): Promise<string[]> {
    const deadline = performance.now() + SETTLE_MS
    for (;;) {
      const after = await this.#census()
      if (after === before) return []
      if (performance.now() > deadline) return [`the broker had ${before} before, and has ${after}`]
      await delay(500)
    }
  }

  async #census(): Promise<string> {
    const [consumers, queues] = [
      await this.#list('list_consumers', 'queue_name'),
      await this.#list('list_queues', 'name', 'messages'),
    ]
    // rabbitmqctl lists those of all virtual hosts: no other is used meanwhile
    const connections = await this.#options.nodes[0]?.ctl('list_connections', 'pid')
    const channels = await this.#options.nodes[0]?.ctl('list_channels', 'pid')
    const count = (text = ''): number => text.split('\n').filter((line) => line.includes('<')).length
    return [
      `${count(connections)} connections`,
      `${count(channels)} channels`,
      `consumers of ${consumers.toSorted().join(' ')}`,
      `queues ${queues.toSorted().join(' ')}`,
    ].join(', ')
  }

  async #list(what: string, ...columns: string[]): Promise<string[]> {
    const text = (await this.#options.nodes[0]?.ctl(what, '-p', this.#vhost, '--no-table-headers', ...columns)) ?? ''
    return text.split('\n').filter((line) => line !== '')
  }

  /** What a killed process had done and not remembered may be done again: so `once` says. */
  async #noteUnremembered(pid: string): Promise<void> {
    if (this.#store === undefined) return
    const lines = this.#sink.read().lines.filter(([, writer]) => writer === pid)
    for (const [seq] of lines.slice(-2 * PREFETCH)) {
      const isRemembered = (await this.#store.peek(`done:sink:event:C:${seq}`)) === true
      if (!isRemembered) this.#unremembered.set(seq, (this.#unremembered.get(seq) ?? 0) + 1)
    }
  }
}

function ms(time: number): string {
  return `${Math.round(time)} ms`
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0)
}

function any<T>(items: readonly T[]): T | undefined {
  return items[Math.floor(Math.random() * items.length)]
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
