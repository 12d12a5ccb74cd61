/**
 * The results of commands that are called: each finds its call by its correlation id, and every call settles.
 */
import type { CommandContract, Schema } from '../contracts/contract.ts'
import { validate } from '../contracts/validate.ts'
import { CallTimeoutError, CommandError } from '../errors.ts'
import { readEnvelope } from '../wire/envelope.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { decodePayload } from '../wire/payload.ts'

interface Waiting {
  /** Whether the broker has the command. */
  isSent: boolean
  readonly command: string
  readonly result: Schema | undefined
  readonly error: Schema | undefined
  readonly resolve: (payload: unknown) => void
  readonly reject: (error: Error) => void
}

export class Replies {
  readonly #waiting = new Map<string, Waiting>()

  /** Calls that have not settled. */
  get size(): number {
    return this.#waiting.size
  }

  /**
   * Waits for the result with this correlation id.
   * @throws CommandError for an error result; CallTimeoutError; what the signal aborts with, or {@link fail} is given; ContractError
   * or PayloadDecodeError for a result that cannot be read
   */
  async wait(
    correlationId: string,
    command: CommandContract | string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const { name, result, error } =
      typeof command === 'string' ? { name: command, result: undefined, error: undefined } : command
    let timer: NodeJS.Timeout | undefined
    let onAbort = (): void => {}
    try {
      return await new Promise((resolve, reject) => {
        const waiting: Waiting = { isSent: false, command: name, result, error, resolve, reject }
        this.#waiting.set(correlationId, waiting)
        timer = setTimeout(() => reject(new CallTimeoutError(name, timeoutMs, waiting.isSent)), timeoutMs)
        if (signal === undefined) return
        onAbort = () => reject(signal.reason as Error)
        signal.addEventListener('abort', onAbort, { once: true })
        if (signal.aborted) onAbort()
      })
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      this.#waiting.delete(correlationId)
    }
  }

  /** Whether somebody still waits for this result. */
  has(correlationId: string): boolean {
    return this.#waiting.has(correlationId)
  }

  /** The broker has confirmed the command. */
  sent(correlationId: string): void {
    const waiting = this.#waiting.get(correlationId)
    if (waiting !== undefined) waiting.isSent = true
  }

  /** The command cannot be sent: there will be no result. */
  fail(correlationId: string, error: Error): void {
    this.#waiting.get(correlationId)?.reject(error)
  }

  /** A result came. One that nobody waits for any more is dropped. */
  take(message: IncomingMessage): void {
    const waiting = this.#waiting.get(message.properties.correlationId ?? '')
    if (waiting === undefined) return
    read(message, waiting).then(waiting.resolve, waiting.reject)
  }

  /** Gives up on all calls. */
  rejectAll(because: Error): void {
    for (const { reject } of this.#waiting.values()) reject(because)
  }
}

async function read(message: IncomingMessage, { command, result, error }: Waiting): Promise<unknown> {
  const envelope = readEnvelope('command', message)
  const body = decodePayload(message.body, message.properties.contentType)
  const failed = envelope.kind === 'result' && envelope.status === 'error'
  const subject = `${failed ? 'error result' : 'result'} of command '${command}'`
  const payload = await validate(failed ? error : result, body, subject)
  if (failed) throw new CommandError(payload)
  return payload
}
