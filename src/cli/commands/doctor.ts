/** `eventail doctor`: what is wrong with the bus, one line each, with the mend. */
import { TopologyError } from '../../errors.ts'
import { deadLetterQueuesOf, diagnose, type Finding } from '../../management/diagnosis.ts'
import { takeSnapshot } from '../../management/snapshot.ts'
import { toJson } from '../../observe/body.ts'
import { QueueReader } from '../../transport/queue-reader.ts'
import { pause } from '../../transport/reconnect.ts'
import { visible } from '../../wire/text.ts'
import { paint } from '../../observe/paint.ts'
import { type BrokerOptions, EXIT, refuseOperands, takeBroker, type Target, type Terminal } from '../command-line.ts'
import { checkBroker, connectionSettings, managementOf } from '../connect.ts'

export interface DoctorOptions extends BrokerOptions {
  /** For how many seconds dead letters are watched. */
  readonly watch?: number
  readonly json?: boolean
  readonly managementUrl?: string
}

const WATCH_SECONDS = 2

export async function doctor(operands: readonly string[], options: DoctorOptions, terminal: Terminal): Promise<number> {
  const { broker, tls, rest } = takeBroker(operands, options, terminal)
  refuseOperands(rest)
  await checkBroker(broker, tls, terminal)
  const snapshot = await takeSnapshot(managementOf(broker, options.managementUrl, terminal))
  const seconds = options.watch ?? WATCH_SECONDS
  const letters = await growthOf(deadLetterQueuesOf(snapshot), { broker, tls }, seconds, terminal)
  if (terminal.signal.aborted) return EXIT.interrupted
  const findings = diagnose({ snapshot, broker, growth: { letters, seconds } })
  for (const finding of findings) {
    terminal.print(options.json === true ? toJson(finding) : textOf(finding, terminal.colours))
  }
  const problems = findings.filter(({ severity }) => severity === 'problem').length
  if (problems > 0) terminal.say(`${broker.shown}: ${problems} ${problems === 1 ? 'problem' : 'problems'}`)
  else terminal.say(`${broker.shown} is well`)
  return problems > 0 ? EXIT.failed : EXIT.ok
}

/** How many letters came into each of these queues while they were watched. The broker is asked itself: its statistics lag. */
async function growthOf(
  queues: readonly string[],
  { broker, tls }: Target,
  seconds: number,
  { signal }: Terminal,
): Promise<ReadonlyMap<string, number>> {
  const grown = new Map<string, number>()
  if (queues.length === 0 || seconds === 0) return grown
  const settings = connectionSettings('doctor', tls)
  await Promise.all(
    queues.map(async (queue) => {
      try {
        await using reader = await QueueReader.open(broker, queue, settings, signal)
        const { messages: before } = await reader.counts()
        await pause(seconds * 1000, signal)
        const { messages: after } = await reader.counts()
        grown.set(queue, Math.max(0, after - before))
      } catch (error) {
        // deleted meanwhile: the rest is worth telling
        if (!(error instanceof TopologyError)) throw error
      }
    }),
  )
  return grown
}

function textOf({ severity, subject, problem, mend }: Finding, colours: boolean): string {
  const mark = paint(colours, severity === 'problem' ? 'red' : 'yellow', severity)
  return `${mark}  ${paint(colours, 'bold', visible(subject))}: ${visible(problem)}. Mend: ${visible(mend)}`
}
