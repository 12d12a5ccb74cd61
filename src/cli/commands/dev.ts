/** `eventail dev`: services on a broker for development, started again when their code changes, and the bus as it goes. */
import { resolve } from 'node:path'
import { type DevelopmentBus, startDevelopmentBus } from '../../dev/development-bus.ts'
import { launchOf } from '../../dev/launch.ts'
import { runSession } from '../../dev/session.ts'
import { InvalidSettingError } from '../../errors.ts'
import { makeRedact } from '../../observe/redact.ts'
import { DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE } from '../../topology/dead-letters.ts'
import { parseBrokerUrl, secretUrlOf } from '../../transport/broker-url.ts'
import { visible } from '../../wire/text.ts'
import { paint } from '../../observe/paint.ts'
import {
  type BrokerOptions,
  EXIT,
  levelOption,
  namesBroker,
  refuseUrls,
  SkippingPrinter,
  takeBroker,
  type Target,
  type Terminal,
  UsageError,
  withoutPasswords,
} from '../command-line.ts'

export interface DevOptions extends BrokerOptions {
  readonly port?: number
  readonly host?: string
  readonly broker?: string
  readonly level?: string
  readonly redact?: readonly string[]
}

const DEFAULT_PORT = 5672
const LARGEST_PORT = 65_535
const IS_LOOPBACK = /^(?:localhost|127\..*|::1)$/

export async function dev(operands: readonly string[], given: DevOptions, terminal: Terminal): Promise<number> {
  const options = given.broker === undefined ? given : { ...given, url: given.broker }
  if (!namesBroker(operands, options)) return onDevelopmentBus(operands, options, terminal)
  if (options.port !== undefined || options.host !== undefined)
    throw new UsageError('--port and --host are for the development broker, which is not started beside another one')
  const { broker, tls, rest } = takeBroker(operands, options, terminal)
  const env = { EVENTAIL_AMQP_URL: secretUrlOf(broker), ...tlsVariables(options) }
  const introduction = (hasDeadLetters: boolean): readonly string[] => [
    paint(terminal.colours, 'bold', `on ${broker.shown}`),
    ...aboutDeadLetters(hasDeadLetters),
  ]
  return run({ target: { broker, tls }, files: rest, env, introduction }, options, terminal)
}

async function onDevelopmentBus(files: readonly string[], options: DevOptions, terminal: Terminal): Promise<number> {
  checkFiles(files)
  const { port = DEFAULT_PORT, host = '127.0.0.1' } = options
  if (port > LARGEST_PORT) throw new UsageError(`--port must be at most ${LARGEST_PORT}, not ${port}`)
  if ((process.env['EVENTAIL_AMQP_URL'] ?? '') !== '')
    terminal.say('EVENTAIL_AMQP_URL is not used: a broker is started here; to use one that runs, give it with --broker')
  if (!IS_LOOPBACK.test(host))
    terminal.say(`warning: whoever reaches ${visible(host)} of this machine can use the development broker`)
  const bus = await startBus(host, port)
  try {
    const target = { broker: parseBrokerUrl(bus.url), tls: undefined }
    const introduction = (): readonly string[] => aboutBus(bus, terminal)
    return await run({ target, files, env: bus.env, introduction }, options, terminal)
  } finally {
    await bus.close()
  }
}

async function startBus(host: string, port: number): Promise<DevelopmentBus> {
  try {
    return await startDevelopmentBus(host, port)
  } catch (error) {
    if (!(error instanceof InvalidSettingError)) throw error
    throw new Error(
      `${error.message.replace(':', '')}; choose another one with --port (0 is one that is free), or use the broker that runs there with --broker`,
      { cause: error },
    )
  }
}

interface Stage {
  readonly target: Target
  readonly files: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly introduction: (hasDeadLetters: boolean) => readonly string[]
}

async function run(
  { target, files, env, introduction }: Stage,
  { level = 'INFO', redact }: DevOptions,
  terminal: Terminal,
): Promise<number> {
  checkFiles(files)
  const least = levelOption(level)
  const printer = new SkippingPrinter(terminal)
  await runSession({
    ...target,
    groups: files.map((file) => [resolve(file)]),
    env,
    style: () => ({ colours: terminal.colours, width: terminal.columns, level: least, details: true }),
    redact: makeRedact(redact),
    // services may say whatever they like
    print: (lines) => printer.print(() => withoutPasswords(lines)),
    introduce: (hasDeadLetters) => [...introduction(hasDeadLetters), ...aboutLines(files), ''].join('\n'),
    signal: terminal.signal,
  })
  printer.tell()
  return EXIT.ok
}

/** @throws UsageError for what cannot be run */
function checkFiles(files: readonly string[]): void {
  refuseUrls(files)
  for (const file of files) {
    try {
      launchOf(resolve(file))
    } catch (error) {
      throw new UsageError(`${file}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

function tlsVariables({ tlsCa, tlsCert, tlsKey, tlsServername }: BrokerOptions): Readonly<Record<string, string>> {
  return {
    ...(tlsCa !== undefined && { EVENTAIL_TLS_CA: resolve(tlsCa) }),
    ...(tlsCert !== undefined && { EVENTAIL_TLS_CERT: resolve(tlsCert) }),
    ...(tlsKey !== undefined && { EVENTAIL_TLS_KEY: resolve(tlsKey) }),
    ...(tlsServername !== undefined && { EVENTAIL_TLS_SERVERNAME: tlsServername }),
  }
}

function aboutBus(bus: DevelopmentBus, { colours }: Terminal): readonly string[] {
  const exports = [
    ...(bus.url.endsWith(`:${DEFAULT_PORT}`) ? [] : [`export EVENTAIL_AMQP_URL=${bus.url}`]),
    ...(bus.isManagementWhereExpected ? [] : [`export EVENTAIL_MANAGEMENT_URL=${bus.managementUrl}`]),
    ...(bus.isStoreWhereExpected ? [] : [`export EVENTAIL_REDIS_URL=${bus.storeUrl}`]),
  ]
  const store =
    bus.storeUrl === undefined
      ? 'Stores are on the Redis of EVENTAIL_REDIS_URL.'
      : `A store for createTempStore, in memory too, is on ${bus.storeUrl}; in TypeScript it takes: npm install @redis/client`
  return [
    paint(colours, 'bold', `development broker on ${bus.url}`),
    '  It does what RabbitMQ does, but in memory: when it ends, all that is on it is gone (docs/development-broker.md).',
    ...(exports.length === 0
      ? ['  Other services, and the command line (eventail services, doctor, send-command…), find it by themselves.']
      : ['  For other services, and the command line (eventail services, doctor, send-command…):']),
    ...exports.map((line) => `      ${line}`),
    `  ${store}`,
    `  What fails twice goes to the queue ${DEAD_LETTER_QUEUE}: eventail dead, eventail resurrect ${DEAD_LETTER_QUEUE}`,
  ]
}

function aboutDeadLetters(hasDeadLetters: boolean): readonly string[] {
  return hasDeadLetters
    ? [`  No policy is set here. Dead letters show if that of the operator sends them to ${DEAD_LETTER_EXCHANGE}.`]
    : [
        `  There is no exchange '${DEAD_LETTER_EXCHANGE}': dead letters do not show, and no policy is set here. eventail doctor tells more.`,
      ]
}

function aboutLines(files: readonly string[]): readonly string[] {
  return [
    '  A line is: time, end of the conversation id, kind, sender, routing key, payload. The same colour of the id is the',
    '  same conversation.',
    ...(files.length === 0
      ? ['  No files of services are given: eventail dev greeter.ts runs one.']
      : [`  ${files.map(visible).join(', ')}: started in this order, and again when code changes.`]),
    '  Ctrl-C ends it.',
  ]
}
