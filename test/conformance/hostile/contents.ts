/** Messages that are malformed, broken off, or larger than they say; tables that cannot be read, or nobody should read. */
import {
  body,
  BODY,
  declareWith,
  field,
  FLOW,
  frame,
  HEADER,
  header,
  headers,
  HEARTBEAT,
  long,
  method,
  nested,
  PING,
  publish,
  short,
  u16,
  u32,
  u64,
  u8,
} from './bytes.ts'
import { closed, DROPPED, GOES_ON, type HostileCase, WAITS, whenOpen } from './case.ts'

const qos = method(1, 60, 10, u32(0), u16(1), u8(0))
const NO_NUMBER = Buffer.from('7ff8000000000000', 'hex')
const publishTo = (exchange: string, bits = 0): Buffer =>
  method(1, 60, 40, u16(0), short(exchange), short('k'), u8(bits))
const headerOf = (...payload: readonly Buffer[]): Buffer => frame(HEADER, 1, ...payload)

/** Tables that cannot be read. */
const BROKEN: readonly (readonly [title: string, table: Buffer])[] = [
  ['with an unknown type', field('a', 'Z', u32(1))],
  ['with a type of byte 0', field('a', '\0', u32(1))],
  ['whose text is longer than they are', field('a', 'S', u32(1_000), Buffer.from('x'))],
  ['whose inner table is longer than they are', field('a', 'F', u32(1_000), field('b', 't', u8(1)))],
  ['whose array is longer than they are', field('a', 'A', u32(1_000), Buffer.from('t'), u8(1))],
  ['that are broken deep inside', field('a', 'F', long(field('b', 'A', long(Buffer.from('Z')))))],
  ['cut short within a name', Buffer.concat([u8(200), Buffer.from('a')])],
  ['cut short behind a name', short('a')],
  ['cut short within a number', field('a', 'l', u32(1))],
  ['with a number that is none', field('a', 'd', NO_NUMBER)],
]

export const contents: readonly HostileCase[] = [
  {
    title: 'a body that is larger than the frames agreed on, which comes back in frames that are not',
    says: [
      'queue.declare-ok on 1',
      'basic.get-ok on 1',
      'a frame of type 2 on 1, of 14 bytes',
      'a frame of type 3 on 1, of 4088 bytes',
      'a frame of type 3 on 1, of 4088 bytes',
      'a frame of type 3 on 1, of 1824 bytes',
    ],
    play: async (raw, vhost) => {
      await raw.open({ vhost, frameMax: 4_096 })
      const name = short('large')
      raw.send(method(1, 50, 10, u16(0), name, u8(0b100), u32(0)))
      raw.send(method(1, 60, 40, u16(0), short(''), name, u8(0)), header(10_000n))
      for (const size of [4_000, 4_000, 2_000]) raw.send(body(Buffer.alloc(size)))
      raw.send(method(1, 60, 70, u16(0), name, u8(1)))
      await raw.hear(6)
    },
  },
  whenOpen(
    'a heartbeat within a message',
    [publish(), frame(HEARTBEAT, 0), header(1n), frame(HEARTBEAT, 0), body('x'), FLOW],
    GOES_ON,
  ),
  whenOpen('an empty frame within a body', [publish(), header(1n), body(''), body('x'), FLOW], GOES_ON),
  whenOpen('a body out of nowhere', [body('x')], closed(505)),
  whenOpen('a header out of nowhere', [header(0n)], closed(505)),
  whenOpen('a body without a header', [publish(), body('x')], closed(505, 'basic.publish')),
  whenOpen('a body when none was announced', [publish(), header(0n), body('x')], closed(505)),
  whenOpen('a method between publish and header', [publish(), qos], closed(505, 'basic.publish')),
  whenOpen('a method between header and body', [publish(), header(5n), qos], closed(505, 'basic.publish')),
  whenOpen(
    'a close of the channel within a message',
    [publish(), header(5n), method(1, 20, 40, u16(200), short(''), u32(0))],
    closed(505, 'basic.publish'),
  ),
  whenOpen('an unknown method within a message', [publish(), method(1, 99, 99)], DROPPED),
  whenOpen('a second header', [publish(), header(5n), header(5n)], closed(505, 'basic.publish')),
  whenOpen(
    'a header of another class',
    [publish(), headerOf(u16(50), u16(0), u64(0n), u16(0))],
    closed(505, 'basic.publish'),
  ),
  whenOpen(
    'a header of an unknown class',
    [publish(), headerOf(u16(99), u16(0), u64(0n), u16(0))],
    closed(505, 'basic.publish'),
  ),
  whenOpen(
    'a header with a weight',
    [publish(), headerOf(u16(60), u16(7), u64(0n), u16(0))],
    closed(505, 'basic.publish'),
  ),
  whenOpen('an empty header', [publish(), headerOf()], closed(501)),
  whenOpen('a header cut short', [publish(), headerOf(u16(60), u16(0), u32(0))], closed(501)),
  whenOpen('a header without flags', [publish(), headerOf(u16(60), u16(0), u64(0n))], closed(541)),
  whenOpen('a header with flags for more flags', [publish(), header(0n, u32(0x0001_0000))], closed(541)),
  whenOpen('a header with a flag that means nothing', [publish(), header(0n, u16(0x0002)), FLOW], GOES_ON),
  whenOpen('a header with flags and no values', [publish(), header(0n, u16(0xfffc))], closed(541)),
  whenOpen('a header with more behind its values', [publish(), header(0n, u32(0))], closed(541)),
  whenOpen('a body longer than announced', [publish(), header(3n), body('four'), PING], WAITS),
  whenOpen(
    'a body longer than announced, in many frames',
    [publish(), header(3n), body('a'), body('b'), body('cd'), PING],
    WAITS,
  ),
  whenOpen(
    'a method behind a body longer than announced',
    [publish(), header(3n), body('four'), qos],
    closed(505, 'basic.publish'),
  ),
  ...[0xffff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 134_217_729n].map((size) =>
    whenOpen(`a body of ${size} bytes, of which one comes`, [publish(), header(size), body('x'), PING], WAITS),
  ),
  whenOpen(
    'a body of a whole frame more than agreed',
    [publish(), header(131_072n), frame(BODY, 1, Buffer.alloc(131_072)), FLOW],
    GOES_ON,
  ),
  whenOpen(
    'a delivery from a client',
    [method(1, 60, 60, short('c'), u64(1n), u8(0), short(''), short('')), header(1n), body('x')],
    closed(503, 'basic.deliver'),
  ),

  whenOpen('an immediate publish', [publishTo('', 2), header(0n)], closed(540, 'basic.publish')),
  whenOpen('an immediate publish to nowhere', [publishTo('nowhere', 2), header(0n)], closed(540, 'basic.publish')),
  whenOpen('a publish to nowhere', [publishTo('nowhere'), header(0n)], ['channel.close 404 for basic.publish']),
  whenOpen(
    'a publish to nowhere with broken headers',
    [publishTo('nowhere'), header(0n, headers(short('a')))],
    ['channel.close 404 for basic.publish'],
  ),
  whenOpen(
    'a user that it is not, and a time that is none',
    [publish(), header(0n, Buffer.concat([u16(0x0110), short('x'), short('y')]))],
    ['channel.close 406 for basic.publish'],
  ),
  whenOpen(
    'a message id that is no text',
    [publish(), header(0n, Buffer.concat([u16(0x0080), short(Buffer.from([0xc3, 0x28]))])), FLOW],
    GOES_ON,
  ),
  whenOpen(
    'a routing key that is no text',
    [method(1, 60, 40, u16(0), short(''), short(Buffer.from([0xc3, 0x28])), u8(0)), header(0n), FLOW],
    GOES_ON,
  ),

  whenOpen('headers nested 10,000 deep', [publish(), header(0n, headers(nested(10_000, 'F'))), FLOW], GOES_ON),
  whenOpen('arrays nested 10,000 deep', [publish(), header(0n, headers(nested(10_000, 'A'))), FLOW], GOES_ON),
  whenOpen('arguments nested 10,000 deep', [declareWith(nested(10_000, 'F'))], ['queue.declare-ok on 1']),
  whenOpen(
    'headers with the same name twice',
    [publish(), header(0n, headers(Buffer.concat([field('a', 't', u8(1)), field('a', 't', u8(0))]))), FLOW],
    GOES_ON,
  ),
  whenOpen(
    'headers with a name that is no text',
    [publish(), header(0n, headers(field(Buffer.from([0xc3, 0x28]), 't', u8(1)))), FLOW],
    GOES_ON,
  ),
  whenOpen(
    'headers longer than their frame',
    [publish(), header(0n, Buffer.concat([u16(0x2000), u32(0xffff_ffff), field('a', 't', u8(1))]))],
    closed(541),
  ),
  ...BROKEN.map(([title, table]) => whenOpen(`headers ${title}`, [publish(), header(0n, headers(table))], closed(541))),
  whenOpen(
    'arguments longer than their frame',
    [declareWith(field('a', 't', u8(1)), 0xffff_ffff)],
    closed(501, 'queue.declare'),
  ),
  ...BROKEN.map(([title, table]) => whenOpen(`arguments ${title}`, [declareWith(table)], DROPPED)),
]
