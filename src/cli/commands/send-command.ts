/** `eventail send-command`: one command, and its result. */
import { StoppedError, UnroutableError } from '../../errors.ts'
import { bodyOf } from '../../observe/body.ts'
import { envelopeLine, envelopeOf } from '../../observe/envelope.ts'
import { makeRedact } from '../../observe/redact.ts'
import { commandQueueOf } from '../../topology/names.ts'
import { pause } from '../../transport/reconnect.ts'
import { newId } from '../../wire/ids.ts'
import type { IncomingMessage } from '../../wire/message.ts'
import type { PayloadFormat } from '../../wire/payload.ts'
import { visible } from '../../wire/text.ts'
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
import { hexDump, valueText } from '../show.ts'

export interface SendCommandCliOptions extends BrokerOptions {
  readonly format?: PayloadFormat
  readonly conversation?: string
  readonly redact?: readonly string[]
  /** Seconds. */
  readonly timeout?: number
  readonly json?: boolean
}

export async function sendCommand(
  operands: readonly string[],
  options: SendCommandCliOptions,
  terminal: Terminal,
): Promise<number> {
  const { broker, tls, rest } = takeBroker(operands, options, terminal)
  const command = required(rest, 0, 'command')
  const payload = readPayload(required(rest, 1, 'payload'), options.format)
  refuseOperands(rest.slice(2))
  const redact = makeRedact(options.redact)
  const { timeout = 60, format = 'cbor', conversation: conversationId } = options
  const correlationId = newId()
  // a key of its own: two operators at once never get each other's results
  const replyTo = `${CLI_NAME}.Result-${newId()}`
  let take: (message: IncomingMessage) => void = () => {}
  const answer = new Promise<IncomingMessage>((resolve) => {
    take = resolve
  })
  await using sender = await Sender.open(broker, connectionSettings('send-command', tls), terminal)
  await sender.declare(replyTo, (message) => {
    if (message.properties.correlationId === correlationId) take(message)
  })
  const waiting = new AbortController()
  const ended = pause(timeout * 1000, AbortSignal.any([terminal.signal, sender.broken, waiting.signal]))
  const sent = sender.messenger(CLI_NAME, format).command(command, payload, {
    replyTo,
    correlationId,
    ...(conversationId === undefined ? undefined : { conversationId }),
  })
  try {
    // a broker that takes no messages keeps nobody longer than the timeout
    const confirmed = await Promise.race([sent, ended])
    const result = confirmed === undefined ? undefined : await Promise.race([answer, ended])
    if (result !== undefined) return show(redact(result), options, terminal)
    if (terminal.signal.aborted) return EXIT.interrupted
    if (sender.broken.aborted) throw sender.broken.reason
    return await whyNone(sender, command, timeout, confirmed !== undefined, terminal)
  } catch (error) {
    if (error instanceof StoppedError) throw sender.broken.reason ?? error
    if (!(error instanceof UnroutableError)) throw error
    terminal.say(`nobody takes ${command}: no queue is bound for it. Is the service running, and the name right?`)
    return EXIT.unroutable
  } finally {
    waiting.abort()
  }
}

/** Whoever watches all commands takes this one, too: that a queue took it says little. */
async function whyNone(
  sender: Sender,
  command: string,
  timeout: number,
  isSent: boolean,
  terminal: Terminal,
): Promise<number> {
  if (!isSent) {
    terminal.say(`the broker did not take ${command} within ${timeout} s`)
    return EXIT.timeout
  }
  const queue = commandQueueOf(command.slice(0, command.lastIndexOf('.')))
  const consumers = await sender.consumersOf(queue)
  if (consumers === undefined) {
    terminal.say(
      `nobody takes ${command}: there is no queue '${queue}'; only somebody who watches received it. Is the service running, and the name right?`,
    )
    return EXIT.unroutable
  }
  const why =
    consumers === 0
      ? `queue '${queue}' has it, and its service is not running`
      : `queue '${queue}' took it; it may still be handled, or have died: eventail dead tells, and the logs (eventail logger)`
  terminal.say(`no result of ${command} within ${timeout} s: ${why}`)
  return EXIT.timeout
}

function show(result: IncomingMessage, { json }: SendCommandCliOptions, terminal: Terminal): number {
  const { status, payload, problem } = envelopeOf(result)
  terminal.say(visible(status ?? 'a result without a status'))
  if (json === true) terminal.print(envelopeLine(result))
  else if (bodyOf(result).decoded) terminal.print(valueText(payload))
  else {
    terminal.say(visible(problem ?? ''))
    terminal.print(hexDump(result.body))
  }
  return status === 'success' ? EXIT.ok : EXIT.errorResult
}
