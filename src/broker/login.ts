/** How a connection begins: what the broker says of itself, who the client is, and what both agree on. Source: AMQP 0-9-1, section 2.2.4. */
import { SilentEnd } from './exceptions.ts'
import {
  booleanField,
  booleanIn,
  type FieldTable,
  isTable,
  readTable,
  stringField,
  tableField,
  textIn,
} from './field-table.ts'
import type { Reader } from './reader.ts'
import { MethodWriter } from './writer.ts'

export const CHANNEL_MAX = 2_047
export const FRAME_MAX = 131_072
/** The least that both sides must be able to take; frames are not longer until more is agreed on. */
export const SMALLEST_FRAME_MAX = 4_096
const HEARTBEAT_S = 60

/** What a client says of itself. */
export interface Login {
  readonly mechanism: string
  readonly user: string
  readonly password: string
  readonly properties: FieldTable
  /** By their names, such as `connection.blocked`. */
  readonly can: (capability: string) => boolean
}

/** What both agree on. */
export interface Limits {
  readonly channelMax: number
  readonly frameMax: number
  /** 0 is none. */
  readonly heartbeatS: number
}

const PROTOCOL = 'AMQP'
/** AMQP 0-9-1, and 0-9, which differs in nothing that matters here. */
const VERSIONS: ReadonlySet<string> = new Set(['0,0,9,1', '1,1,0,9'])

const SERVER_PROPERTIES: FieldTable = new Map([
  [
    'capabilities',
    tableField(
      new Map(
        [
          'publisher_confirms',
          'exchange_exchange_bindings',
          'basic.nack',
          'consumer_cancel_notify',
          'connection.blocked',
          'consumer_priorities',
          'authentication_failure_close',
          'per_consumer_qos',
        ].map((name) => [name, booleanField(true)]),
      ),
    ),
  ],
  ['product', stringField('eventail development broker')],
  ['platform', stringField('Node.js')],
  ['information', stringField('For development and tests; nothing is kept when it ends')],
])

/** What is answered to those who speak another protocol. */
export const PROTOCOL_HEADER = Buffer.from([...Buffer.from(PROTOCOL), 0, 0, 9, 1])

export function isProtocolHeader(bytes: Buffer): boolean {
  return bytes.toString('latin1', 0, 4) === PROTOCOL && VERSIONS.has(bytes.subarray(4).join(','))
}

/** connection.start */
export function start(): MethodWriter {
  return new MethodWriter(10, 10)
    .uint8(0)
    .uint8(9)
    .table(SERVER_PROPERTIES)
    .longString('PLAIN AMQPLAIN')
    .longString('en_US')
}

/** connection.start-ok @throws SilentEnd when it says in no known way who the client is */
export function loginIn(args: Reader): Login {
  const properties = args.table()
  const mechanism = args.shortString()
  const response = args.longString()
  const names = mechanism === 'PLAIN' ? plain(response) : mechanism === 'AMQPLAIN' ? amqplain(response) : undefined
  if (names === undefined) throw new SilentEnd()
  const field = properties.get('capabilities')
  const capabilities = field?.type === 'F' ? readTable(field.bytes) : undefined
  const can = (capability: string): boolean => booleanIn(capabilities?.get(capability)) === true
  return { mechanism, ...names, properties, can }
}

/** A zero before each. */
function plain(response: Buffer): Pick<Login, 'user' | 'password'> | undefined {
  const [before, user, password, ...more] = response.toString('latin1').split('\0')
  if (before !== '' || user === undefined || password === undefined || more.length > 0) return undefined
  return { user, password }
}

/** A table without its length. */
function amqplain(response: Buffer): Pick<Login, 'user' | 'password'> | undefined {
  if (!isTable(response)) return undefined
  const table = readTable(response)
  const [user, password] = [textIn(table.get('LOGIN')), textIn(table.get('PASSWORD'))]
  return user === undefined || password === undefined ? undefined : { user, password }
}

/** connection.tune */
export function tune(): MethodWriter {
  return new MethodWriter(10, 30).uint16(CHANNEL_MAX).uint32(FRAME_MAX).uint16(HEARTBEAT_S)
}

/** connection.tune-ok @throws SilentEnd when it wants more than the broker offers */
export function limitsIn(args: Reader): Limits {
  const [channelMax, frameMax, heartbeatS] = [args.uint16(), args.uint32(), args.uint16()]
  // 0 would be no limit
  const isWithin =
    channelMax > 0 && channelMax <= CHANNEL_MAX && frameMax >= SMALLEST_FRAME_MAX && frameMax <= FRAME_MAX
  if (!isWithin) throw new SilentEnd()
  return { channelMax, frameMax, heartbeatS }
}
