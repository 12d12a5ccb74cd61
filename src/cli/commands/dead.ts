/** `eventail dead`: the dead-letter queues, what is in them and why; or, with `--watch`, letters as they die. */
import { Causes } from '../../dead-letter/causes.ts'
import { countDead, type DeadGroup } from '../../dead-letter/census.ts'
import { deathsOf, describeDeath } from '../../dead-letter/letter.ts'
import { ManagementError } from '../../errors.ts'
import { deadLetterQueuesOf } from '../../management/diagnosis.ts'
import { takeSnapshot } from '../../management/snapshot.ts'
import { toJson } from '../../observe/body.ts'
import { envelopeLine } from '../../observe/envelope.ts'
import { DEAD_LETTER_EXCHANGE } from '../../topology/dead-letters.ts'
import { EXCHANGES } from '../../topology/names.ts'
import type { BrokerUrl } from '../../transport/broker-url.ts'
import { makeRedact } from '../../observe/redact.ts'
import { QueueReader } from '../../transport/queue-reader.ts'
import { tap } from '../../transport/tap.ts'
import { conversationIdOf } from '../../wire/envelope.ts'
import type { IncomingMessage } from '../../wire/message.ts'
import { counted, visible } from '../../wire/text.ts'
import { paint } from '../../observe/paint.ts'
import {
  type BrokerOptions,
  EXIT,
  SkippingPrinter,
  takeBroker,
  type Target,
  type Terminal,
  refuseOperands,
} from '../command-line.ts'
import { checkBroker, connectionSettings, managementOf, mayRead } from '../connect.ts'
import { clock } from '../show.ts'

export interface DeadOptions extends BrokerOptions {
  readonly watch?: boolean
  readonly exchange?: string
  readonly redact?: readonly string[]
  readonly json?: boolean
  readonly managementUrl?: string
  readonly force?: boolean
}

export async function dead(operands: readonly string[], options: DeadOptions, terminal: Terminal): Promise<number> {
  const { broker, tls, rest } = takeBroker(operands, options, terminal)
  if (options.watch === true) {
    refuseOperands(rest)
    return watch({ broker, tls }, options, terminal)
  }
  const queues = rest.length > 0 ? rest : await knownQueues(broker, options.managementUrl, terminal)
  if (queues.length === 0) {
    terminal.say('no dead-letter queue was found: name one, or set a dead-letter policy (see `eventail doctor`)')
    return EXIT.notFound
  }
  let unread = 0
  for (const queue of queues) {
    if (!(await show(queue, { broker, tls }, options, terminal))) unread += 1
  }
  if (unread === 0) return EXIT.ok
  return unread < queues.length ? EXIT.partial : EXIT.failed
}

/** @returns whether the queue could be read */
async function show(
  queue: string,
  { broker, tls }: Target,
  options: DeadOptions,
  terminal: Terminal,
): Promise<boolean> {
  await using reader = await QueueReader.open(broker, queue, connectionSettings('dead', tls), terminal.signal)
  const api = managementOf(broker, options.managementUrl, terminal)
  if (!(await mayRead(reader, { api, force: options.force }, terminal))) return false
  const { messages } = await reader.counts()
  const groups = await countDead(reader, terminal.signal)
  if (options.json === true) for (const group of groups) terminal.print(toJson(group))
  else {
    terminal.print(paint(terminal.colours, 'bold', `${visible(queue)}: ${counted(messages, 'letter')}`))
    for (const group of groups) terminal.print(`${String(group.count).padStart(8)}  ${groupText(group)}`)
  }
  return true
}

async function knownQueues(
  broker: BrokerUrl,
  managementUrl: string | undefined,
  terminal: Terminal,
): Promise<readonly string[]> {
  const api = managementOf(broker, managementUrl, terminal)
  try {
    return deadLetterQueuesOf(await takeSnapshot(api))
  } catch (error) {
    if (!(error instanceof ManagementError)) throw error
    throw new ManagementError(`${error.message}; name the dead-letter queues, or see --management-url`, {
      cause: error,
    })
  }
}

function groupText({ name, died_in: diedIn, reason }: DeadGroup): string {
  return diedIn === null
    ? `${visible(name)}  (its headers do not say where it died)`
    : `${visible(name)}  ${visible(reason ?? 'dead')} by ${visible(diedIn)}`
}

async function watch(
  { broker, tls }: Target,
  { exchange = DEAD_LETTER_EXCHANGE, json, redact: redacted }: DeadOptions,
  terminal: Terminal,
): Promise<number> {
  const redact = makeRedact(redacted)
  const causes = new Causes()
  const printer = new SkippingPrinter(terminal)
  await checkBroker(broker, tls, terminal)
  await tap({
    brokers: [broker],
    tls,
    name: 'eventail dead',
    patterns: { [EXCHANGES.log]: ['#.ALERT', '#.EMERGENCY', '#.ERROR'], [exchange]: ['#'] },
    signal: terminal.signal,
    onConnected: ({ shown }) => terminal.say(`watching dead letters of ${shown} on exchange ${exchange}`),
    onLost: (reason) => terminal.say(`${reason.message}; trying again`),
    onMessage: (message) => {
      if (message.exchange === EXCHANGES.log) causes.note(message)
      else
        printer.print(() =>
          json === true ? letterLine(redact(message), causes) : letterText(message, causes, terminal.colours),
        )
    },
  })
  printer.tell()
  return EXIT.ok
}

function letterLine(letter: IncomingMessage, causes: Causes): string {
  const [death] = deathsOf(letter.properties.headers ?? {})
  const facts = { died_in: death?.queue ?? null, reason: death?.reason ?? null, error: causes.of(letter) ?? null }
  return envelopeLine(letter, facts)
}

function letterText(letter: IncomingMessage, causes: Causes, colours: boolean): string {
  const headers = letter.properties.headers ?? {}
  const [death] = deathsOf(headers)
  const conversation = conversationIdOf(letter) ?? ''
  const reason = causes.of(letter)
  const how = death === undefined ? '' : `  ${describeDeath(death, new Date())}`
  return [
    `${clock(new Date())} ${paint(colours, 'red', visible(letter.routingKey))}${how}  conversation ${visible(conversation)}`,
    ...(reason === undefined ? [] : [`    ${visible(reason)}`]),
  ].join('\n')
}
