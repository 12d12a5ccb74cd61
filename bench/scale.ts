/**
 * `npm run bench:scale`: what a message costs with more workers, more routing keys and handlers, and more open conversations; and the memory
 * of a service that is slower than what is published to it. Prints tables.
 *
 *     --messages N    of each measurement (20000)
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Endpoint } from 'eventail'
import { type Broker, startBroker } from '../dev/broker.mjs'
import { type Bus, prepare } from './bus.ts'
import { measure, memory, sample } from './measure.ts'
import { BASE, countOf } from './scenarios.ts'

const { values } = parseArgs({ options: { messages: { type: 'string', default: '20000' } } })
const messages = countOf('messages', values.messages)
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const program = (name: string): string => fileURLToPath(new URL(`contenders/${name}.mjs`, import.meta.url))

interface Load {
  readonly workers: number
  readonly handlers: number
  /** Routing keys that messages are published with. */
  readonly keys: readonly string[]
  readonly messages: number
  readonly slowMs: number
}

interface Cost {
  readonly cpuUs: number
  readonly perSecond: number
  /** Of the worker whose memory grew most. */
  readonly grownMib: number
}

const LIGHT: Load = { workers: 1, handlers: 1, keys: ['Job0'], messages, slowMs: 0 }

/** Publishes to workers that are ready, and measures all of these until everything is done. */
async function costOf(broker: Broker, load: Load): Promise<Cost> {
  await using bus = await prepare(broker, { ...BASE, messages: 0, warmup: 0 })
  const workers = await Promise.all(Array.from({ length: load.workers }, () => startWorker(bus, load)))
  await using endpoint = new Endpoint({ name: 'feeder', urls: [bus.url], stderrLevel: 'WARNING' })
  const warmup = load.slowMs > 0 ? 0 : Math.round(load.messages / 4)
  await feed(endpoint, load.keys, warmup)
  await bus.until('done', warmup)
  const before = workers.map(({ pid = 0 }) => ({ ...sample(pid), mib: memory(pid, 'VmRSS') }))
  await feed(endpoint, load.keys, load.messages)
  await bus.until('done', warmup + load.messages)
  const after = workers.map(({ pid = 0 }) => ({ ...sample(pid), mib: memory(pid, 'VmRSS') }))
  await Promise.all(workers.map(stopWorker))
  const cpuNs = after.reduce((sum, { cpuNs }, n) => sum + cpuNs - (before[n]?.cpuNs ?? 0), 0)
  const seconds = ((after[0]?.at ?? 0) - (before[0]?.at ?? 0)) / 1000
  return {
    cpuUs: cpuNs / 1000 / load.messages,
    perSecond: load.messages / seconds,
    grownMib: Math.max(...after.map(({ mib }, n) => mib - (before[n]?.mib ?? 0))),
  }
}

async function startWorker({ url }: Bus, { handlers, slowMs }: Load): Promise<ChildProcess> {
  const task = { url, prefetch: 50, handlers, slowMs }
  const child = spawn(process.execPath, [program('worker'), JSON.stringify(task)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  if (line !== 'ready') throw new Error(`a worker said: ${line}`)
  return child
}

async function stopWorker(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close')
  child.stdin?.end()
  await closed
}

/** As fast as it goes, with a thousand publishes on their way. */
async function feed(endpoint: Endpoint, keys: readonly string[], count: number): Promise<void> {
  let sent = 0
  const publish = async (): Promise<void> => {
    while (sent < count) {
      const key = keys[sent % keys.length] ?? ''
      sent += 1
      await endpoint.publish(key, { n: sent, text: 'x'.repeat(150) })
    }
  }
  await Promise.all(Array.from({ length: 1_000 }, publish))
}

async function table(heading: string, broker: Broker, loads: readonly (readonly [string, Load])[]): Promise<void> {
  say(`\n| ${heading} | CPU µs/message, all workers | messages/s |\n|---|---:|---:|`)
  for (const [name, load] of loads) {
    const { cpuUs, perSecond } = await costOf(broker, load)
    say(`| ${name} | ${cpuUs.toFixed(1)} | ${Math.round(perSecond)} |`)
  }
}

await using broker = await startBroker({ management: true })

await table(
  'workers',
  broker,
  [1, 2, 4, 8].map((workers) => [String(workers), { ...LIGHT, workers }] as const),
)
const upTo = (count: number, name: (n: number) => string): string[] => Array.from({ length: count }, (_, n) => name(n))
await table('handlers, routing keys', broker, [
  ['1, 1', LIGHT],
  ['100, 100', { ...LIGHT, handlers: 100, keys: upTo(100, (n) => `Job${n}`) }],
  ['1,000, 1,000', { ...LIGHT, handlers: 1_000, keys: upTo(1_000, (n) => `Job${n}`) }],
  ['1,000, 10,000 of one pattern', { ...LIGHT, handlers: 1_000, keys: upTo(10_000, (n) => `Many.${n}`) }],
])
say('\n| open calls | CPU µs/call, both ends | calls/s |\n|---|---:|---:|')
for (const outstanding of [100, 1_000, 10_000]) {
  const each = { ...BASE, scenario: 'command', outstanding, seconds: 5 } as const
  await using bus = await prepare(broker, each)
  const run = await measure({ name: 'eventail', command: [process.execPath, program('eventail')] }, each, bus.url)
  say(`| ${outstanding} | ${run?.cpuUs.toFixed(1)} | ${Math.round(run?.perSecond ?? 0)} |`)
}
const slow = await costOf(broker, { ...LIGHT, slowMs: 20 })
say(
  `\n${messages} messages, published at once to a worker that takes 20 ms for each: ${slow.grownMib.toFixed(1)} MiB more memory in the end`,
)
