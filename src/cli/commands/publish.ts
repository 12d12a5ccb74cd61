/** `eventail publish-event` and `publish-configuration`: one message, or many for load, each confirmed by the broker. */
import { PublishRefusedError, StoppedError, UnroutableError } from '../../errors.ts'
import { visible } from '../../wire/text.ts'
import { pause } from '../../transport/reconnect.ts'
import type { PayloadFormat } from '../../wire/payload.ts'
import {
  type BrokerOptions,
  CLI_NAME,
  EXIT,
  required,
  takeBroker,
  type Terminal,
  refuseOperands,
} from '../command-line.ts'
import { connectionSettings } from '../connect.ts'
import { readPayload } from '../payload-file.ts'
import { Sender } from '../sender.ts'

export interface PublishCommandOptions extends BrokerOptions {
  readonly format?: PayloadFormat
  readonly conversation?: string
  readonly mandatory?: boolean
  readonly repeat?: number
  readonly rate?: number
}

interface Outcome {
  confirmed: number
  unroutable: number
  refused: number
  /** What the first refusal said. */
  why: string
}

/** Messages that are on their way or wait at the same time, at most. */
const ON_THEIR_WAY = 2000

export async function publish(
  kind: 'event' | 'configuration',
  operands: readonly string[],
  options: PublishCommandOptions,
  terminal: Terminal,
): Promise<number> {
  const { broker, tls, rest } = takeBroker(operands, options, terminal)
  const name = required(rest, 0, kind)
  const payload = readPayload(required(rest, 1, 'payload'), options.format)
  refuseOperands(rest.slice(2))
  const { repeat = 1, rate = Number.POSITIVE_INFINITY, format = 'cbor', mandatory = false } = options
  const settings = {
    mandatory,
    ...(options.conversation === undefined ? undefined : { conversationId: options.conversation }),
  }
  await using sender = await Sender.open(broker, connectionSettings(`publish-${kind}`, tls), terminal)
  await sender.declare()
  const messenger = sender.messenger(CLI_NAME, format)
  const outcome: Outcome = { confirmed: 0, unroutable: 0, refused: 0, why: '' }
  const send = async (): Promise<void> => {
    try {
      await messenger[kind](name, payload, settings)
      outcome.confirmed += 1
    } catch (error) {
      if (error instanceof UnroutableError) outcome.unroutable += 1
      else if (error instanceof PublishRefusedError) {
        outcome.refused += 1
        outcome.why ||= error.message
      } else throw error instanceof StoppedError ? (sender.broken.reason ?? error) : error
    }
  }
  const interrupted = new Promise<void>((resolve) => {
    terminal.signal.addEventListener('abort', () => resolve(), { once: true })
  })
  const start = performance.now()
  const sent: Promise<void>[] = []
  for (let n = 0; n < repeat && !terminal.signal.aborted && outcome.refused === 0; n++) {
    sent.push(send())
    if (sent.length >= ON_THEIR_WAY) await Promise.race([Promise.all(sent.splice(0)), interrupted])
    const early = ((n + 1) / rate) * 1000 - (performance.now() - start)
    if (early > 0 && n + 1 < repeat) await pause(early, terminal.signal)
  }
  await Promise.race([Promise.all(sent), interrupted])
  return conclude(name, outcome, repeat > 1 ? (performance.now() - start) / 1000 : undefined, terminal)
}

function conclude(
  name: string,
  { confirmed, unroutable, refused, why }: Outcome,
  seconds: number | undefined,
  terminal: Terminal,
): number {
  const speed = seconds === undefined ? '' : ` in ${seconds.toFixed(1)} s (${Math.round(confirmed / seconds)}/s)`
  if (confirmed > 0) terminal.say(`${confirmed} × ${name} confirmed${speed}`)
  if (refused > 0) terminal.say(`the broker refused ${refused} × ${name}: ${visible(why)}`)
  if (unroutable > 0) terminal.say(`${unroutable} × ${name} came back: no queue is bound for it`)
  if (terminal.signal.aborted) return EXIT.interrupted
  if (refused === 0 && unroutable === 0) return EXIT.ok
  return confirmed > 0 ? EXIT.partial : EXIT.unroutable
}
