/**
 * The names of the bus: exchanges, queues, routing keys and patterns, and which of them are legal.
 *
 * Python peers declare the same exchanges and queues with the same arguments; the broker refuses a second declaration
 * with others, so nothing here is configurable.
 */
import { InvalidSettingError } from '../errors.ts'
import { describe } from '../options.ts'

/** The exchanges of the architecture: all of type topic, durable, without arguments. */
export const EXCHANGES = {
  event: 'events',
  command: 'commands',
  configuration: 'configurations',
  log: 'logs',
} as const

export type ExchangeName = (typeof EXCHANGES)[keyof typeof EXCHANGES]

/** The durable queue that all workers of a logical service share for its events. */
export function eventQueueOf(service: string): string {
  return `${service}.events`
}

/** The durable queue that all workers of a logical service share for its commands and results. */
export function commandQueueOf(service: string): string {
  return `${service}.commands`
}

/** The service that a queue belongs to, by its name; undefined for queues of other kinds. */
export function serviceOfQueue(queue: string): string | undefined {
  return /^(.+)\.(?:events|commands)$/s.exec(queue)?.[1]
}

/** AMQP short strings (names, keys, ids) hold at most this many bytes. */
const SHORT_STRING_BYTES = 255

// Control characters, spaces and the rest of C1: legal on the wire, and never meant.
// oxlint-disable-next-line no-control-regex -- these are the characters that are looked for
const UNPRINTABLE = /[\u0000-\u0020\u007f-\u009f\u2028\u2029]/u

/** @throws InvalidSettingError unless `name` can be a logical service: dot-separated words, short enough for its queues. */
export function checkServiceName(name: unknown): asserts name is string {
  const setting = 'service name'
  // the longest name made of it: the routing key of its emergencies
  checkText(setting, name, SHORT_STRING_BYTES - '.EMERGENCY'.length)
  if (name.startsWith('amq.'))
    throw new InvalidSettingError(setting, `'${name}' starts with 'amq.', which the broker reserves`)
  checkWords(setting, name)
  refuseWildcards(setting, name)
}

/** @throws InvalidSettingError unless a message can be published under this routing key. */
export function checkRoutingKey(setting: string, key: unknown): asserts key is string {
  checkText(setting, key, SHORT_STRING_BYTES)
  checkWords(setting, key)
  refuseWildcards(setting, key)
}

/** @throws InvalidSettingError unless this is a topic pattern: words, `*` for one word, `#` for any number of words. */
export function checkPattern(setting: string, pattern: unknown): asserts pattern is string {
  checkText(setting, pattern, SHORT_STRING_BYTES)
  checkWords(setting, pattern)
  for (const word of pattern.split('.')) {
    if (word.length > 1 && /[*#]/.test(word)) {
      throw new InvalidSettingError(
        setting,
        `bad pattern '${pattern}': '*' and '#' stand for whole words, as in 'billing.*' or 'billing.#'`,
      )
    }
  }
}

/** Whether a name holds wildcards, so that more than one routing key matches it. */
export function isPattern(name: string): boolean {
  return name.split('.').some((word) => word === '*' || word === '#')
}

/** @throws InvalidSettingError unless the text fits an AMQP short string. `setting` is what the message names. */
export function checkShortString(setting: string, text: unknown): asserts text is string {
  if (typeof text !== 'string') throw new InvalidSettingError(setting, `must be a string, not ${describe(text)}`)
  const bytes = Buffer.byteLength(text)
  if (bytes > SHORT_STRING_BYTES) {
    throw new InvalidSettingError(setting, `is ${bytes} bytes long; AMQP allows ${SHORT_STRING_BYTES}: shorten it`)
  }
  if (!text.isWellFormed()) throw new InvalidSettingError(setting, 'holds a lone surrogate, which is no character')
}

function checkText(setting: string, text: unknown, maxBytes: number): asserts text is string {
  if (typeof text !== 'string' || text === '') {
    throw new InvalidSettingError(setting, `must be a string that is not empty, not ${describe(text)}`)
  }
  const bytes = Buffer.byteLength(text)
  if (bytes > maxBytes) {
    throw new InvalidSettingError(
      setting,
      `'${text.slice(0, 40)}…' is ${bytes} bytes long; at most ${maxBytes} are allowed`,
    )
  }
  if (UNPRINTABLE.test(text) || !text.isWellFormed()) {
    throw new InvalidSettingError(setting, `${JSON.stringify(text)} holds spaces or characters that cannot be printed`)
  }
}

function checkWords(setting: string, text: string): void {
  if (text.split('.').includes('')) {
    throw new InvalidSettingError(setting, `'${text}' has an empty word: separate words by single dots`)
  }
}

function refuseWildcards(setting: string, text: string): void {
  if (/[*#]/.test(text)) {
    throw new InvalidSettingError(setting, `'${text}' holds a wildcard; only patterns of handlers may`)
  }
}
