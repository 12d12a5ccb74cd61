/**
 * `npm run bench -- [options]`: the toolkit and what it is compared with, one after the other and again, each in a process of its own
 * on a broker of its own. Prints a table of medians and ratios.
 *
 *     --scenario NAMES      only these, separated by commas: publish, consume, pipeline, command, heavy, log, start
 *     --contender NAMES     only these
 *     --peer NAME=COMMAND   one more, which is given its task as described in bench/contenders/contender.mjs; may be repeated
 *     --repetitions N       of each, in alternation (5)
 *     --messages N          that are measured in each run of publish, consume, pipeline and log (20000), after half as many
 *     --full                all combinations of payload, prefetch and kind of queue
 *     --base                only the first case of each scenario
 *     --quick               few messages, once: shows that it works, and measures nothing
 *     --json FILE           writes all figures there
 *     --markdown FILE       writes the tables there
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { startBroker } from '../dev/broker.mjs'
import { prepare } from './bus.ts'
import { findContenders } from './contenders.ts'
import { measure, type Run } from './measure.ts'
import { type Result, tableOf } from './report.ts'
import { casesOf, countOf, quickened, SCENARIOS, type Scenario, titleOf } from './scenarios.ts'

const { values } = parseArgs({
  options: {
    scenario: { type: 'string' },
    contender: { type: 'string' },
    peer: { type: 'string', multiple: true, default: [] },
    repetitions: { type: 'string', default: '5' },
    messages: { type: 'string', default: '20000' },
    full: { type: 'boolean', default: false },
    base: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    markdown: { type: 'string' },
  },
})
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const note = (line: string): void => void process.stderr.write(`${line}\n`)

const wanted = values.scenario?.split(',')
const unknown = wanted?.find((name) => !(name in SCENARIOS))
if (unknown !== undefined) throw new Error(`no scenario '${unknown}': there are ${Object.keys(SCENARIOS).join(', ')}`)
let cases = casesOf(values.full, countOf('messages', values.messages)).filter(
  ({ scenario }) => wanted?.includes(scenario) ?? true,
)
if (values.base || values.quick)
  cases = cases.filter((each, n) => cases.findIndex((other) => other.scenario === each.scenario) === n)
if (values.quick) cases = cases.map(quickened)
const repetitions = values.quick ? 1 : countOf('repetitions', values.repetitions)
const contenders = findContenders(values.contender?.split(','), values.peer)

await using broker = await startBroker({ management: true, config: ['management.rates_mode = none'] })
const version = (await broker.ctl('version')).trim()
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
const machine = `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, RabbitMQ ${version}, ${commit}`
const command = `npm run bench -- ${process.argv.slice(2).join(' ')}`.trim()
say(`${machine}\n${command}`)

const results: Result[] = []
let shown: Scenario | undefined
for (const each of cases) {
  const runs = new Map<string, Run[]>()
  const absent = new Set<string>()
  for (let n = 0; n < repetitions; n++) {
    // each begins as often as the others
    const turn = [...contenders.slice(n % contenders.length), ...contenders.slice(0, n % contenders.length)]
    for (const contender of turn) {
      if (absent.has(contender.name)) continue
      await using bus = await prepare(broker, each)
      const run = await measure(contender, each, bus.url)
      if (run !== undefined) await bus.check(contender.name)
      if (run === undefined) absent.add(contender.name)
      else runs.set(contender.name, [...(runs.get(contender.name) ?? []), run])
      note(
        `${each.scenario} ${titleOf(each)} ${contender.name} ${n + 1}: ${run === undefined ? 'cannot' : `${run.cpuUs.toFixed(1)} µs`}`,
      )
    }
  }
  const result = { case: each, runs: Object.fromEntries(runs) }
  results.push(result)
  if (each.scenario !== shown) say(`\n## ${SCENARIOS[each.scenario]}`)
  shown = each.scenario
  say(`\n${tableOf(result, contenders)}`)
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ machine, command, results }, undefined, 1)}\n`)
}
if (values.markdown !== undefined) {
  const tables = results.map((result, n) => {
    const heading = `## ${SCENARIOS[result.case.scenario]}\n\n`
    const isFirst = results[n - 1]?.case.scenario !== result.case.scenario
    return `${isFirst ? heading : ''}${tableOf(result, contenders)}`
  })
  writeFileSync(values.markdown, `${machine}\n\n    ${command}\n\n${tables.join('\n\n')}\n`)
}
