/** `eventail send-command`: one command, and its result. */
import { UnroutableError } from '../../errors.ts'
import { defineService } from '../../service/define-service.ts'
import { onResult } from '../../service/handlers.ts'
import { secretUrlOf } from '../../transport/broker-url.ts'
import { pause } from '../../transport/reconnect.ts'
import { newId } from '../../wire/ids.ts'
import type { PayloadFormat } from '../../wire/payload.ts'
import { type BrokerOptions, checkBroker, EXIT, required, takeBroker, type Terminal } from '../command-line.ts'
import type { Envelope } from '../envelope.ts'
import { readPayload } from '../payload-file.ts'
import { toJson, valueText } from '../show.ts'

interface ResultFacts {
  readonly status: string
  readonly payload: unknown
  readonly conversationId: string
  readonly correlationId: string | undefined
  readonly messageId: string | undefined
  readonly headers: Readonly<Record<string, unknown>>
}

export interface SendCommandCliOptions extends BrokerOptions {
  readonly format?: PayloadFormat
  readonly conversation?: string
  /** Seconds. */
  readonly timeout?: number
  readonly json?: boolean
}

/** The envelope of a result, as docs/cli.md has it. */
function resultOf(
  command: string,
  { status, payload, conversationId, correlationId, messageId, headers }: ResultFacts,
): Envelope {
  return {
    ts: new Date().toISOString(),
    kind: 'result',
    name: command,
    service: command.slice(0, command.lastIndexOf('.')),
    conversation_id: conversationId,
    correlation_id: correlationId ?? null,
    causation_id: typeof headers['causation_id'] === 'string' ? headers['causation_id'] : null,
    message_id: messageId ?? null,
    status,
    redelivered: false,
    headers,
    payload,
  }
}

export async function sendCommand(
  operands: readonly string[],
  options: SendCommandCliOptions,
  terminal: Terminal,
): Promise<number> {
  const { broker, rest } = takeBroker(operands, options, terminal)
  const command = required(rest, 0, 'command')
  const payload = readPayload(required(rest, 1, 'payload'), options.format)
  const { timeout = 60, format = 'cbor', conversation: conversationId } = options
  let answer: (code: number) => void = () => {}
  const answered = new Promise<number>((resolve) => {
    answer = resolve
  })
  // a name of its own: two operators at once never get each other's results
  const service = defineService({
    name: `eventail-cli-${newId()}`,
    format,
    exclusiveQueues: true,
    handlers: [
      onResult('Result', (context) => {
        const { status, payload: result } = context
        terminal.say(status)
        terminal.print(options.json === true ? toJson(resultOf(command, context)) : valueText(result))
        answer(status === 'success' ? EXIT.ok : EXIT.errorResult)
      }),
    ],
    hooks: { onReturned: () => {} },
  })
  await checkBroker(broker, terminal)
  await using worker = await service.start({
    urls: [secretUrlOf(broker)],
    signal: terminal.signal,
    stderrLevel: 'NONE',
    drainTimeoutMs: 2_000,
  })
  try {
    await worker.sendCommand(command, payload, {
      replyTo: 'Result',
      ...(conversationId === undefined ? undefined : { conversationId }),
    })
  } catch (error) {
    if (!(error instanceof UnroutableError)) throw error
    terminal.say(`nobody takes ${command}: no queue is bound for it. Is the service running, and the name right?`)
    return EXIT.unroutable
  }
  const waiting = new AbortController()
  const late = pause(timeout * 1000, AbortSignal.any([terminal.signal, waiting.signal])).then(() => {
    if (terminal.signal.aborted) return EXIT.interrupted
    if (!waiting.signal.aborted)
      terminal.say(`no result of ${command} within ${timeout} s: a queue took the command, and nobody has answered yet`)
    return EXIT.timeout
  })
  try {
    return await Promise.race([answered, late])
  } finally {
    waiting.abort()
  }
}
