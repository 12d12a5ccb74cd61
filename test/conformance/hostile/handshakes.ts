/** What goes wrong before a connection is open. */
import {
  body,
  BODY,
  field,
  frame,
  header,
  HEARTBEAT,
  long,
  method,
  openVhost,
  PROTOCOL_HEADER,
  short,
  tuneOk,
  u16,
  u32,
  u8,
} from './bytes.ts'
import { atFirst, atStart, atTune, closed, DROPPED, type HostileCase } from './case.ts'
import { OLD_PROTOCOL } from '../not-implemented.ts'
import { startOk } from './raw-client.ts'

const OUR_PROTOCOL = 'the protocol header 0.0.9.1'
const ANOTHER_PROTOCOL = [OUR_PROTOCOL, 'the end']
const STARTS = ['connection.start on 0']
const TUNES = ['connection.tune on 0']
const OPENS = ['connection.open-ok on 0']
const NO_TEXT = Buffer.from([0xc3, 0x28])
const amqplain = Buffer.concat([field('LOGIN', 'S', long('guest')), field('PASSWORD', 'S', long('guest'))])
const protocol = (...version: readonly number[]): Buffer => Buffer.from([...Buffer.from('AMQP'), ...version])
const within = tuneOk(10, 131_072, 0)

export const handshakes: readonly HostileCase[] = [
  atFirst('a request for a web page', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), ANOTHER_PROTOCOL),
  atFirst('bytes that mean nothing', Buffer.from(Array.from({ length: 64 }, (_, n) => n * 37)), ANOTHER_PROTOCOL),
  atFirst('a frame before the protocol header', startOk(), ANOTHER_PROTOCOL),
  atFirst('the protocol header of AMQP 1.0', protocol(0, 1, 0, 0), ANOTHER_PROTOCOL),
  atFirst('the protocol header of AMQP 1.0 with SASL', protocol(3, 1, 0, 0), ANOTHER_PROTOCOL),
  atFirst('the protocol header of AMQP 0-10', protocol(1, 1, 0, 10), ANOTHER_PROTOCOL),
  atFirst('the protocol header of AMQP 0-9-2', protocol(0, 0, 9, 2), ANOTHER_PROTOCOL),
  atFirst('the protocol header of AMQP 0-9', protocol(1, 1, 0, 9), STARTS),
  atFirst(`the protocol header of ${OLD_PROTOCOL}`, protocol(1, 1, 8, 0), STARTS, { refuses: OUR_PROTOCOL }),
  atFirst(`another one of ${OLD_PROTOCOL}`, protocol(1, 1, 9, 1), STARTS, { refuses: OUR_PROTOCOL }),
  silence('half a protocol header, then silence', async (raw) => raw.send(PROTOCOL_HEADER.subarray(0, 5))),
  silence('a login byte by byte, too slow to come to its end', async (raw) => {
    raw.send(PROTOCOL_HEADER)
    await raw.hear(1)
    raw.said.length = 0
    await raw.dribble(startOk(), 250)
  }),
  silence('a login, then silence', async (raw) => {
    raw.send(PROTOCOL_HEADER, startOk())
    await raw.hear(2)
    raw.said.length = 0
    raw.send(within)
  }),

  atStart('a channel before the login', [method(1, 20, 10, short(''))], DROPPED),
  atStart('a virtual host before the login', [openVhost('/')], DROPPED),
  atStart('limits before the login', [within], DROPPED),
  atStart('a header before the login', [header(0n)], DROPPED),
  atStart('a body before the login', [body('x')], DROPPED),
  atStart('a heartbeat before the login', [frame(HEARTBEAT, 0), startOk()], TUNES),
  atStart('a frame of an unknown type before the login', [frame(4, 0)], DROPPED),
  atStart('an unknown method before the login', [method(0, 10, 99)], DROPPED),
  atStart('a close before the login', [method(0, 10, 50, u16(200), short('bye'), u32(0))], DROPPED),
  atStart('a frame without its end', [startOk().subarray(0, -1), u8(0)], DROPPED),
  atStart('a login of 4 KB', [startOk({ properties: field('x', 'S', long('y'.repeat(4_000))) })], TUNES),
  atStart('a login of 5 KB', [startOk({ properties: field('x', 'S', long('y'.repeat(5_000))) })], DROPPED),
  atStart('a login cut short', [method(0, 10, 11, u32(0), short('PLAIN'))], DROPPED),
  atStart('a login by an unknown mechanism', [startOk({ mechanism: 'KERBEROS' })], DROPPED),
  atStart('a login by AMQPLAIN', [startOk({ mechanism: 'AMQPLAIN', response: amqplain })], TUNES),
  atStart(
    'a login by AMQPLAIN without a name',
    [startOk({ mechanism: 'AMQPLAIN', response: amqplain.subarray(16) })],
    DROPPED,
  ),
  atStart('a wrong password', [startOk({ response: Buffer.from('\0guest\0wrong') })], closed(403)),
  atStart('a user that there is not', [startOk({ response: Buffer.from([0, ...NO_TEXT, 0, 65]) })], closed(403)),
  atStart(
    'a wrong password, of a client that cannot be told',
    [startOk({ response: Buffer.from('\0guest\0wrong'), properties: Buffer.alloc(0) })],
    DROPPED,
  ),
  atStart('an empty login', [startOk({ response: Buffer.alloc(0) })], DROPPED),
  atStart('a login without separators', [startOk({ response: Buffer.from('guest') })], DROPPED),
  atStart('a login with a separator too many', [startOk({ response: Buffer.from('\0guest\0guest\0') })], DROPPED),
  atStart('a login on behalf of another', [startOk({ response: Buffer.from('x\0guest\0guest') })], DROPPED),
  atStart('capabilities that are no table', [startOk({ properties: field('capabilities', 'S', long('x')) })], TUNES),
  atStart('properties of an unknown type', [startOk({ properties: field('x', 'Z', u32(1)) })], DROPPED),
  atStart('properties longer than their frame', [method(0, 10, 11, u32(0xffff_ffff), short('PLAIN'))], DROPPED),
  atStart('properties cut short', [startOk({ properties: field('x', 'S', u32(100), Buffer.from('y')) })], DROPPED),

  ...(
    [
      [65_535, 131_072, 0],
      [2_048, 131_072, 0],
      [0, 131_072, 0],
      [10, 0, 0],
      [10, 1, 0],
      [10, 4_095, 0],
      [10, 131_073, 0],
      [10, 0xffff_ffff, 0],
    ] as const
  ).map(([channels, size, heartbeat]) =>
    atTune(
      `limits of ${channels}, ${size}, ${heartbeat}`,
      [tuneOk(channels, size, heartbeat), openVhost('/')],
      DROPPED,
    ),
  ),
  ...(
    [
      [2_047, 131_072, 0],
      [1, 4_096, 0],
      [10, 131_072, 65_535],
    ] as const
  ).map(([channels, size, heartbeat]) =>
    atTune(`limits of ${channels}, ${size}, ${heartbeat}`, [tuneOk(channels, size, heartbeat), openVhost('/')], OPENS),
  ),
  atTune('limits cut short', [method(0, 10, 31, u16(10)), openVhost('/')], DROPPED),
  atTune('no limits', [openVhost('/')], DROPPED),
  atTune('a second login', [startOk()], DROPPED),
  atTune('a close instead of limits', [method(0, 10, 50, u16(200), short('bye'), u32(0))], DROPPED),
  atTune('limits, twice', [within, within], closed(504, 'connection.tune-ok')),
  atTune(
    'a close before the virtual host',
    [within, method(0, 10, 50, u16(200), short(''), u32(0))],
    closed(504, 'connection.close'),
  ),
  atTune('a channel before the virtual host', [within, method(1, 20, 10, short(''))], closed(505)),
  atTune('a body before the virtual host', [within, frame(BODY, 0)], closed(505)),
  atTune('a frame larger than agreed', [tuneOk(10, 4_096, 0), frame(BODY, 0, Buffer.alloc(4_097))], closed(501)),
  atTune('a frame of an unknown type', [within, frame(4, 0)], closed(501)),
  atTune('an unknown method', [within, method(0, 99, 50)], DROPPED),
  atTune('an unknown virtual host', [within, openVhost('no-such-host')], closed(530, 'connection.open')),
  atTune('a virtual host without a name', [within, openVhost('')], closed(530, 'connection.open')),
  atTune('a virtual host of 255 letters', [within, openVhost('v'.repeat(255))], closed(530, 'connection.open')),
  atTune('a virtual host whose name is no text', [within, openVhost(NO_TEXT)], closed(501, 'connection.open')),
]

/** The broker waits no longer than the handshake may take. */
function silence(title: string, begin: (raw: Parameters<HostileCase['play']>[0]) => Promise<void>): HostileCase {
  return {
    title,
    says: DROPPED,
    play: async (raw) => {
      await begin(raw)
      await raw.hear(1)
    },
  }
}
