/**
 * The pipeline for as long as asked, with its connections cut once a minute, and the memory of its programs: `npm run test:soak -- --minutes
 * 60 --rate 200`. Prints a line a minute; ends with 1 when something was lost, or the memory of a program grows: what the system gives it, or
 * what JavaScript holds after a collection.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startBroker } from '../../dev/broker.mjs'
import { Proxy } from '../bus/proxy.ts'
import type { Fleet } from './fleet.ts'
import { lineOf, runPipeline } from './pipeline.ts'

const SAMPLE_MS = 5_000
const MIB = 2 ** 20
const PAGE_MIB = 4096 / MIB
const MOST_MIB_PER_HOUR = 1
/** Of the samples of the first third nothing is made: caches fill, and code is compiled. */
const WARM_UP = 1 / 3
/** Of a shorter run the slope says nothing: caches still fill. It is shown, and not judged. */
const JUDGED_FROM_MINUTES = 30

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

/** By the program's name and what was measured. */
const samples = new Map<string, Sample[]>()
const directory = mkdtempSync(join(tmpdir(), 'eventail-soak-'))
process.env['EVENTAIL_MEMORY_DIRECTORY'] = directory
const collected = new URL('programs/collected.mjs', import.meta.url).href

function note(name: string, hours: number, mib: number): string {
  samples.set(name, [...(samples.get(name) ?? []), { hours, mib }])
  return mib.toFixed(1)
}

function sample(fleet: Fleet, hours: number): string {
  const shown = fleet.running.map((name) => {
    const pid = fleet.pidOf(name)
    const pages = Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1])
    const resident = note(`${name}, resident`, hours, pages * PAGE_MIB)
    const file = join(directory, String(pid))
    if (!existsSync(file)) return `${name} ${resident}`
    return `${name} ${resident}/${note(`${name}, held`, hours, Number(readFileSync(file, 'latin1')) / MIB)}`
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
    say(`${Math.round(hours * 60)} min: MiB resident/held of ${shown}`)
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
  nodeArguments: ['--import', collected],
  meanwhile,
})
say(lineOf(report))
let growing = 0
for (const [name, all] of samples) {
  const { slope, error } = slopeOf(all.slice(Math.floor(all.length * WARM_UP)))
  const grows = minutes >= JUDGED_FROM_MINUTES && slope - 2 * error > MOST_MIB_PER_HOUR
  if (grows) growing += 1
  say(`${name}: ${slope.toFixed(1)} ± ${error.toFixed(1)} MiB/h${grows ? ': GROWS' : ''}`)
}
await proxy.close()
await broker.dispose()
rmSync(directory, { recursive: true, force: true })
process.exitCode = report.problems.length + growing === 0 ? 0 : 1
