/**
 * The pipeline for as long as asked, with its connections cut once a minute, and the memory of its programs: `npm run test:soak -- --minutes
 * 60 --rate 200`. Prints a line a minute; ends with 1 when something was lost, or the memory of a program grows.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startBroker } from '../../dev/broker.mjs'
import { Proxy } from '../bus/proxy.ts'
import type { Fleet } from './fleet.ts'
import { lineOf, runPipeline } from './pipeline.ts'

const SAMPLE_MS = 5_000
const PAGE_MIB = 4096 / 2 ** 20
const MOST_MIB_PER_HOUR = 1
/** Of the samples of the first third nothing is made: caches fill, and code is compiled. */
const WARM_UP = 1 / 3

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, rate: { type: 'string', default: '200' } },
})
const minutes = Number(values.minutes)
const rate = Number(values.rate)
const say = (line: string): void => void process.stdout.write(`${line}\n`)

interface Sample {
  readonly hours: number
  readonly mib: number
}

const samples = new Map<string, Sample[]>()

function sample(fleet: Fleet, hours: number): string {
  const shown = fleet.running.map((name) => {
    const pid = fleet.pidOf(name)
    const pages = Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1])
    const mib = pages * PAGE_MIB
    samples.set(name, [...(samples.get(name) ?? []), { hours, mib }])
    return `${name} ${mib.toFixed(0)}`
  })
  return shown.join(', ')
}

/** The slope of a line through the samples, by least squares, and its standard error. */
function slopeOf(all: readonly Sample[]): { readonly slope: number; readonly error: number } {
  const mean = (pick: (one: Sample) => number): number => all.reduce((sum, one) => sum + pick(one), 0) / all.length
  const [hours, mib] = [mean((one) => one.hours), mean((one) => one.mib)]
  const spread = all.reduce((sum, one) => sum + (one.hours - hours) ** 2, 0)
  const slope = all.reduce((sum, one) => sum + (one.hours - hours) * (one.mib - mib), 0) / spread
  const residual = all.reduce((sum, one) => sum + (one.mib - mib - slope * (one.hours - hours)) ** 2, 0)
  return { slope, error: Math.sqrt(residual / (all.length - 2) / spread) }
}

const broker = await startBroker()
const proxy = await Proxy.start(broker.port)

const meanwhile = async (fleet: Fleet): Promise<void> => {
  const began = performance.now()
  const end = began + minutes * 60_000
  for (let n = 1; performance.now() < end - SAMPLE_MS; n++) {
    await delay(SAMPLE_MS)
    const hours = (performance.now() - began) / 3_600_000
    const shown = sample(fleet, hours)
    if ((n * SAMPLE_MS) % 60_000 !== 0) continue
    say(`${Math.round(hours * 60)} min: MiB of ${shown}`)
    proxy.cut()
  }
}

const report = await runPipeline({
  nodes: [{ ...broker, url: proxy.through(broker.url).replace(/\/$/, '') }],
  messages: Math.round(rate * minutes * 60),
  perSecond: rate,
  serviceKills: 0,
  brokerKills: 0,
  cuts: Math.ceil(minutes),
  meanwhile,
})
say(lineOf(report))
let growing = 0
for (const [name, all] of samples) {
  const { slope, error } = slopeOf(all.slice(Math.floor(all.length * WARM_UP)))
  const grows = slope - 2 * error > MOST_MIB_PER_HOUR
  if (grows) growing += 1
  say(`${name}: ${slope.toFixed(1)} ± ${error.toFixed(1)} MiB/h${grows ? ': GROWS' : ''}`)
}
await proxy.close()
await broker.dispose()
process.exitCode = report.problems.length + growing === 0 ? 0 : 1
