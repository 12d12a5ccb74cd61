/**
 * What all commands share: where the broker's URL comes from, how arguments are read, how a command ends.
 *
 * Names and options are accepted with underscores as well as hyphens, as the Python toolkit's scripts spell them.
 */
import { readFileSync, statSync } from 'node:fs'
import {
  ConnectionError,
  InvalidSettingError,
  ManagementError,
  PublishRefusedError,
  TopologyError,
  UnroutableError,
} from '../errors.ts'
import { type LevelName, LEVELS } from '../log/levels.ts'
import { type BrokerTls, readTls } from '../transport/broker-tls.ts'
import { type BrokerUrl, isExposed, parseBrokerUrl } from '../transport/broker-url.ts'

/** Exit codes, the same for every command. */
export const EXIT = {
  ok: 0,
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** A part was done. */
  partial: 3,
  /** The broker, its management API or a health server cannot be reached, or refuses us. */
  unreachable: 4,
  notFound: 5,
  /** A command was answered with an error result. */
  errorResult: 6,
  /** No queue takes the message, or the broker refused it. */
  unroutable: 7,
  /** Nobody answered, or was ready, in time. */
  timeout: 124,
  interrupted: 130,
} as const

/** Who sent it, in what the command line sends (`app_id`). */
export const CLI_NAME = 'eventail-cli'

/** The command line is wrong: the message says how to mend it. */
export class UsageError extends Error {}

const MOST_BACKLOG = 4 * 1024 * 1024
/** Different problems that are told of the messages of one run. */
const MOST_SAID = 5

/** What a command writes to, and how it is told to end. */
export interface Terminal {
  /** To standard output, a whole line. */
  print(line: string): void
  /** Resolves when what was printed is out, so that a slow reader is not buried. */
  drained(): Promise<void>
  /** How much of what was printed is not out yet, in characters. */
  readonly backlog: number
  /** To standard error, a whole line. */
  say(line: string): void
  /** Aborts at Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal
  /** Whether nobody reads standard output any more: then the signal aborts, too. */
  readonly isReaderGone: boolean
  readonly colours: boolean
  /** Of standard output; 120 where it is no terminal. */
  readonly columns: number
}

export interface BrokerOptions {
  readonly url?: string
  readonly urlFile?: string
  /** Paths of PEM files. */
  readonly tlsCa?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsServername?: string
}

/** A broker, and how TLS is spoken with it. */
export interface Target {
  readonly broker: BrokerUrl
  readonly tls: BrokerTls | undefined
}

/**
 * The broker: an operand that is a URL, else `--url`, `--url-file`, `EVENTAIL_AMQP_URL`, `AMQP_URL`, else localhost.
 * @returns the broker, how TLS is spoken with it, and the operands without the URL
 */
export function takeBroker(
  operands: readonly string[],
  options: BrokerOptions,
  terminal: Terminal,
): Target & { readonly rest: readonly string[] } {
  const { broker, rest } = takeUrl(operands, options, terminal)
  if (isExposed(broker))
    terminal.say(`warning: ${broker.shown}: passwords and messages travel in clear text; use amqps://`)
  const { tlsCa: ca, tlsCert: cert, tlsKey: key, tlsServername: servername } = options
  if (key !== undefined) warnOfReaders(key, terminal)
  const given = Object.entries({ ca, cert, key, servername }).filter(([, value]) => value !== undefined)
  return { broker, tls: broker.tls ? readTls(Object.fromEntries(given)) : undefined, rest }
}

/** Whether the command line itself names a broker. */
export function namesBroker([first = '']: readonly string[], { url, urlFile }: BrokerOptions): boolean {
  return IS_BROKER_URL.test(first) || url !== undefined || urlFile !== undefined
}

function takeUrl(
  operands: readonly string[],
  options: BrokerOptions,
  terminal: Terminal,
): { broker: BrokerUrl; rest: readonly string[] } {
  const [first, ...others] = operands
  const given = first !== undefined && IS_BROKER_URL.test(first) ? first : undefined
  const rest = given === undefined ? operands : others
  refuseUrls(rest)
  const onCommandLine = given ?? options.url
  if (onCommandLine !== undefined) {
    const broker = parseBrokerUrl(onCommandLine, 'the broker URL')
    warnOfPassword(onCommandLine, 'use --url-file', terminal)
    return { broker, rest }
  }
  if (options.urlFile !== undefined)
    return { broker: parseBrokerUrl(readUrlFile(options.urlFile, terminal), options.urlFile), rest }
  for (const name of ['EVENTAIL_AMQP_URL', 'AMQP_URL']) {
    const value = process.env[name]
    if (value !== undefined && value !== '') return { broker: parseBrokerUrl(value, name), rest }
  }
  return { broker: parseBrokerUrl('amqp://localhost'), rest }
}

/** Told once a URL on the command line has a password in it. */
export function warnOfPassword(url: string, mend: string, terminal: Terminal): void {
  if (/:\/\/[^/]*:[^/]*@/.test(url))
    terminal.say(`warning: a password on the command line is seen by every user of this machine; ${mend}`)
}

/** Says so where others can read a file that holds a secret. */
function warnOfReaders(path: string, terminal: Terminal): void {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0
  if ((mode & 0o077) !== 0) terminal.say(`warning: ${path} can be read by others; chmod 600 it`)
}

function readUrlFile(path: string, terminal: Terminal): string {
  try {
    warnOfReaders(path, terminal)
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new UsageError(`--url-file: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/**
 * The command line as the parser knows it: `publish_event --filter_fields` is `publish-event --filter-fields`, and a broker that is named
 * before the command goes behind it.
 */
export function normalise(argv: readonly string[]): string[] {
  let at = 0
  while (IS_BROKER_URL.test(argv[at] ?? '') || /^--url(?:[-_]file)?(?:=|$)/.test(argv[at] ?? ''))
    at += /^--url(?:[-_]file)?$/.test(argv[at] ?? '') ? 2 : 1
  const [command, ...rest] = argv.slice(at)
  const words = [...(command === undefined ? [] : [command]), ...argv.slice(0, at), ...rest]
  return words.map((word, index) => {
    const isCommand = index === 0 || (index === 1 && words[0] === 'help')
    if (isCommand && /^[a-z_]+$/.test(word)) return word.replaceAll('_', '-')
    const option = /^--[a-z_]+/.exec(word)?.[0]
    return option === undefined ? word : option.replaceAll('_', '-') + word.slice(option.length)
  })
}

/** A number given on the command line. @throws UsageError */
export function numberOption(name: string, least: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isFinite(value) || value < least) {
      throw new UsageError(`${name} must be a number of ${least} or more, not '${text}'`)
    }
    return value
  }
}

/** A whole number given on the command line. @throws UsageError */
export function wholeOption(name: string, least: number): (text: string) => number {
  return (text) => {
    const value = numberOption(name, least)(text)
    if (!Number.isSafeInteger(value)) throw new UsageError(`${name} must be a whole number, not '${text}'`)
    return value
  }
}

/** A level of logs, in capitals or not. @throws UsageError */
export function levelOption(text: string): LevelName {
  const name = LEVELS.find((known) => known === text.toUpperCase())
  if (name === undefined) throw new UsageError(`--level must be one of ${LEVELS.join(', ')}, not '${text}'`)
  return name
}

/** The one operand with this name. @throws UsageError when it is missing */
export function required(operands: readonly string[], index: number, name: string): string {
  const operand = operands[index]
  if (operand === undefined) throw new UsageError(`<${name}> is missing`)
  return operand
}

/** @throws UsageError when there is an operand that means nothing */
export function refuseOperands([first]: readonly string[]): void {
  if (first !== undefined) refuseUrls([first])
  if (first !== undefined) throw new UsageError(`unexpected '${first}'`)
}

/** What an error says to an operator: without a stack, unless it is a bug. */
export function explain(error: unknown): { text: string; code: number } {
  const text = error instanceof Error ? error.message : String(error)
  return { text, code: codeOf(error, text) }
}

function codeOf(error: unknown, text: string): number {
  if (error instanceof UsageError || error instanceof InvalidSettingError) return EXIT.usage
  if (error instanceof ConnectionError || error instanceof ManagementError) return EXIT.unreachable
  if (error instanceof UnroutableError || error instanceof PublishRefusedError) return EXIT.unroutable
  if (error instanceof TopologyError && /NOT_FOUND/.test(text)) return EXIT.notFound
  if (error instanceof TopologyError && /ACCESS_REFUSED/.test(text)) return EXIT.unreachable
  return EXIT.failed
}

/** The text without the passwords of URLs, of whatever scheme and however mistyped. */
export function withoutPasswords(text: string): string {
  return text.replaceAll(/(\b[a-z][a-z\d+.-]*:(?:\/\/)?[^\s:@/]*:)\S*@/gi, '$1***@')
}

/** What an operand or a pattern may look like that is meant for something else. */
const IS_BROKER_URL = /^amqps?:/i

/** @throws UsageError for what looks like a URL where none belongs; it may have a password in it, and is not shown */
export function refuseUrls(words: readonly string[]): void {
  if (words.some((word) => /^[a-z][a-z\d+.-]*:\/\//i.test(word) || IS_BROKER_URL.test(word)))
    throw new UsageError('there is a URL where none belongs; the URL of the broker comes first, or with --url')
}

/** Says each text once, however often it comes. */
export function onceEach({ say }: Pick<Terminal, 'say'>): (text: string) => void {
  const said = new Set<string>()
  return (text) => {
    if (said.size < MOST_SAID && !said.has(text)) say(text)
    said.add(text)
  }
}

/** Prints lines while the reader keeps up; beyond that they are skipped, and counted aloud. */
export class SkippingPrinter {
  readonly #terminal: Terminal
  #skipped = 0

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  /** @param line called only for lines that are printed */
  print(line: () => string): void {
    if (this.#terminal.backlog > MOST_BACKLOG) {
      this.#skipped += 1
      return
    }
    this.tell()
    this.#terminal.print(line())
  }

  /** Says how many were skipped since it was said last, if any. */
  tell(): void {
    if (this.#skipped > 0)
      this.#terminal.say(`(${this.#skipped} messages were skipped: they came faster than they could be shown)`)
    this.#skipped = 0
  }
}
