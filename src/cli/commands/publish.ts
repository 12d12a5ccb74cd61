/** `eventail publish-event` and `publish-configuration`: one message, or many for load, each confirmed by the broker. */
import { UnroutableError } from '../../errors.ts'
import { defineService } from '../../service/define-service.ts'
import { secretUrlOf } from '../../transport/broker-url.ts'
import { pause } from '../../transport/reconnect.ts'
import type { PayloadFormat } from '../../wire/payload.ts'
import { type BrokerOptions, checkBroker, EXIT, required, takeBroker, type Terminal } from '../command-line.ts'
import { readPayload } from '../payload-file.ts'

export interface PublishCommandOptions extends BrokerOptions {
  readonly format?: PayloadFormat
  readonly conversation?: string
  readonly mandatory?: boolean
  readonly repeat?: number
  readonly rate?: number
}

export async function publish(
  kind: 'event' | 'configuration',
  operands: readonly string[],
  options: PublishCommandOptions,
  terminal: Terminal,
): Promise<number> {
  const { broker, rest } = takeBroker(operands, options, terminal)
  const name = required(rest, 0, kind)
  const payload = readPayload(required(rest, 1, 'payload'), options.format)
  const {
    repeat = 1,
    rate = Number.POSITIVE_INFINITY,
    conversation: conversationId,
    mandatory = false,
    format = 'cbor',
  } = options
  let refuse: () => void = () => {}
  const refused = new Promise<'refused'>((resolve) => {
    refuse = () => resolve('refused')
  })
  const service = defineService({ name: 'eventail-cli', format, hooks: { onReturned: () => {} } })
  await checkBroker(broker, terminal)
  await using worker = await service.start({
    urls: [secretUrlOf(broker)],
    signal: terminal.signal,
    stderrLevel: 'NONE',
    drainTimeoutMs: 2_000,
    // a nack is answered by trying again, for a service: an operator wants to know
    onLog: ({ short }) => {
      if (short.includes('(nack:')) refuse()
    },
  })
  const start = performance.now()
  const send = kind === 'event' ? worker.publish : worker.publishConfiguration
  const settings = { mandatory, ...(conversationId === undefined ? undefined : { conversationId }) }
  let confirmed = 0
  let unroutable = 0
  const sent: Promise<void>[] = []
  for (let n = 0; n < repeat && !terminal.signal.aborted; n++) {
    sent.push(
      send(name, payload, settings).then(
        () => void (confirmed += 1),
        (error: unknown) => {
          if (!(error instanceof UnroutableError)) throw error
          unroutable += 1
        },
      ),
    )
    const early = ((n + 1) / rate) * 1000 - (performance.now() - start)
    if (early > 0 && n + 1 < repeat) await pause(early, terminal.signal)
    if (worker.pendingPublishes >= 2000) await Promise.race([Promise.all(sent.splice(0)), refused])
  }
  const outcome = await Promise.race([Promise.all(sent), refused])
  const seconds = (performance.now() - start) / 1000
  const speed = repeat > 1 ? ` in ${seconds.toFixed(1)} s (${Math.round(confirmed / seconds)}/s)` : ''
  if (confirmed > 0) terminal.say(`${confirmed} × ${name} confirmed${speed}`)
  if (outcome === 'refused') {
    terminal.say(`the broker refused ${name}: a queue that it goes to is full or in trouble`)
    return EXIT.unroutable
  }
  if (terminal.signal.aborted) return EXIT.interrupted
  if (unroutable === 0) return EXIT.ok
  terminal.say(`${unroutable} × ${name} came back: no queue is bound for it`)
  return EXIT.unroutable
}
