/** Numbers and times among the arguments of a command, as strict as Redis is with them. */
import { ReplyError } from './reply.ts'

const LARGEST = 2n ** 63n - 1n

/** @throws ReplyError unless it is a whole number of 64 bits, written as numbers are */
export function wholeNumber(text: Buffer): number {
  const digits = text.toString('latin1', 0, 21)
  const number = /^(?:0|-?[1-9]\d{0,18})$/.test(digits) ? BigInt(digits) : undefined
  if (number === undefined || number > LARGEST || number < -LARGEST - 1n)
    throw new ReplyError('ERR value is not an integer or out of range')
  return Number(number)
}

/**
 * A time, which may be negative.
 * @param unitMs 1 for milliseconds, 1000 for seconds
 * @throws ReplyError for what is no time, or longer than can be told in milliseconds
 */
export function durationMs(text: Buffer, unitMs: number, command: string): number {
  const ms = wholeNumber(text) * unitMs
  if (!Number.isSafeInteger(ms)) throw invalidTime(command)
  return ms
}

/** How long a value lives: as {@link durationMs}, and above zero. */
export function lifetimeMs(text: Buffer, unitMs: number, command: string): number {
  const ms = durationMs(text, unitMs, command)
  if (ms <= 0) throw invalidTime(command)
  return ms
}

function invalidTime(command: string): ReplyError {
  return new ReplyError(`ERR invalid expire time in '${command}' command`)
}
