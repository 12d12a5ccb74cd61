/** Frames and methods that are malformed, or come where they have no place. */
import {
  BODY,
  FLOW,
  frame,
  HEADER,
  HEARTBEAT,
  long,
  method,
  METHOD,
  openVhost,
  PING,
  publish,
  short,
  tuneOk,
  u16,
  u32,
  u64,
  u8,
} from './bytes.ts'
import { closed, DROPPED, GOES_ON, type HostileCase, WAITS, whenChannelClosed, whenOpen } from './case.ts'
import { startOk } from './raw-client.ts'

const NO_TEXT = Buffer.from([0xc3, 0x28])
const qos = method(1, 60, 10, u32(0), u16(1), u8(0))
const consumerTag = (...bytes: readonly number[]): Buffer => method(1, 60, 30, short(Buffer.from(bytes)), u8(0))
const consume = (queue: string, tag: string): Buffer =>
  method(1, 60, 20, u16(0), short(queue), short(tag), u8(0), u32(0))
const closeOf = (channel: number): Buffer => method(channel, 20, 40, u16(200), short(''), u32(0))

export const frames: readonly HostileCase[] = [
  whenOpen('a frame that does not end', [qos.subarray(0, -1), u8(0)], closed(501)),
  whenOpen(
    'a frame of 26 letters that does not end',
    [frame(BODY, 1, Buffer.from('abcdefghijklmnopqrstuvwxyz')).subarray(0, -1), u8(65)],
    closed(501),
  ),
  whenOpen('a frame one byte larger than agreed', [u8(BODY), u16(1), u32(131_073), Buffer.alloc(100)], closed(501)),
  whenOpen('a frame of 4 GiB', [u8(METHOD), u16(1), u32(0xffff_ffff), Buffer.alloc(100)], closed(501)),
  ...[0, 4, 5, 9, 65, 255].map((type) => whenOpen(`a frame of type ${type}`, [frame(type, 1)], closed(501))),
  ...[
    'x',
    'a "quoted" \\ text',
    'tab\tand\nline',
    '\u00e4\u00a0\u00ff',
    '\u007f',
    '\u0001\u0002',
    'more than sixteen letters',
  ].map((text) =>
    whenOpen(`a frame of type 4 with ${JSON.stringify(text)}`, [frame(4, 1, Buffer.from(text, 'latin1'))], closed(501)),
  ),
  whenOpen('a frame of type 4 on channel 0', [frame(4, 0)], closed(501)),
  whenOpen('a frame of type 4 on a channel that is not open', [frame(4, 9)], closed(501)),
  whenOpen('a heartbeat on a channel', [frame(HEARTBEAT, 1)], closed(505)),
  whenOpen('a heartbeat on a channel that is not open', [frame(HEARTBEAT, 9)], closed(505)),
  whenOpen('a heartbeat with something in it', [frame(HEARTBEAT, 0, Buffer.from('x'))], closed(501)),

  whenOpen('a method on a channel that is not open', [method(9, 20, 20, u8(1))], closed(504, 'channel.flow')),
  whenOpen('a close of a channel that is not open', [closeOf(9)], closed(504, 'channel.close')),
  whenOpen('a close-ok on a channel that is not open', [method(9, 20, 41)], closed(504, 'channel.close-ok')),
  whenOpen(
    'a publish on a channel that is not open',
    [publish(9), frame(HEADER, 9, u16(60), u16(0), u64(0n), u16(0))],
    closed(504, 'basic.publish'),
  ),
  whenOpen('half a publish on a channel that is not open', [publish(9), PING], WAITS),
  whenOpen('a header on a channel that is not open', [frame(HEADER, 9, u16(60), u16(0), u64(0n), u16(0))], closed(505)),
  whenOpen('a body on a channel that is not open', [frame(BODY, 9, Buffer.from('x'))], closed(505)),
  whenOpen('an unknown method on a channel that is not open', [method(9, 99, 99)], DROPPED),
  whenOpen('a channel opened twice', [method(1, 20, 10, short(''))], closed(504, 'channel.open')),
  whenOpen('a channel opened with a word', [method(2, 20, 10, short('out of band'))], ['channel.open-ok on 2']),
  whenOpen('a channel opened without its argument', [method(2, 20, 10)], closed(501, 'channel.open')),
  whenOpen('channel 0 opened', [method(0, 20, 10, short(''))], closed(504, 'channel.open')),
  whenOpen('the last channel that there could be', [method(65_535, 20, 10, short(''))], ['channel.open-ok on 65535']),
  {
    title: 'one channel more than agreed, whatever its number',
    says: ['channel.open-ok on 4', 'channel.open-ok on 7', ...closed(530)],
    play: async (raw, vhost) => {
      await raw.open({ vhost, channelMax: 3 })
      for (const [said, number] of [4, 7].entries()) {
        raw.send(method(number, 20, 10, short('')))
        await raw.hear(said + 1)
      }
      raw.send(method(8, 20, 10, short('')))
      await raw.hear(4)
    },
  },
  {
    title: '65,535 channels',
    says: ['2046 more channels', ...closed(530)],
    play: async (raw, vhost) => {
      await raw.open({ vhost })
      for (let first = 2; first <= 65_535; first += 1_000)
        raw.send(...Array.from({ length: 1_000 }, (_, n) => method(Math.min(first + n, 65_535), 20, 10, short(''))))
      await raw.hear(2_048)
      const opened = raw.said.filter((said) => said.startsWith('channel.open-ok')).length
      raw.said.splice(0, opened, `${opened} more channels`)
    },
  },
  whenOpen('an agreement to a close that nobody asked for', [method(1, 20, 41)], closed(503, 'channel.close-ok')),
  whenOpen('an agreement to a flow that nobody asked for', [method(1, 20, 21, u8(1))], closed(503, 'channel.flow-ok')),
  whenOpen(
    'an agreement to a cancel that nobody asked for',
    [method(1, 60, 31, short('c'))],
    closed(503, 'basic.cancel-ok'),
  ),
  whenOpen('a channel that is to pause', [method(1, 20, 20, u8(0))], closed(540, 'channel.flow')),

  whenOpen('a method of a channel on channel 0', [method(0, 60, 10, u32(0), u16(1), u8(0))], closed(504, 'basic.qos')),
  whenOpen('a publish on channel 0', [publish(0)], closed(504, 'basic.publish')),
  whenOpen('a header on channel 0', [frame(HEADER, 0, u16(60), u16(0), u64(0n), u16(0))], closed(505)),
  whenOpen('a body on channel 0', [frame(BODY, 0, Buffer.from('x'))], closed(505)),
  whenOpen(
    'a method of the connection on a channel',
    [method(1, 10, 40, short('/'), short(''), u8(0))],
    closed(503, 'connection.open'),
  ),
  whenOpen(
    'a close of the connection on a channel',
    [method(1, 10, 50, u16(200), short(''), u32(0))],
    closed(503, 'connection.close'),
  ),
  whenOpen('the virtual host opened again', [openVhost('/')], closed(504, 'connection.open')),
  whenOpen('a second login', [startOk()], closed(504, 'connection.start-ok')),
  whenOpen('other limits', [tuneOk(10, 131_072, 0)], closed(504, 'connection.tune-ok')),
  whenOpen(
    'an agreement to a close of the connection that nobody asked for',
    [method(0, 10, 51)],
    closed(504, 'connection.close-ok'),
  ),
  whenOpen(
    'a new secret',
    [method(0, 10, 70, long('secret'), short('it is time'))],
    ['connection.update-secret-ok on 0'],
  ),

  whenOpen('a method of an unknown class', [method(1, 99, 10)], DROPPED),
  whenOpen('an unknown method of a class', [method(1, 50, 99)], DROPPED),
  whenOpen('an unknown method on channel 0', [method(0, 10, 99)], DROPPED),
  whenOpen('a method of an unknown class on channel 0', [method(0, 99, 99)], DROPPED),
  whenOpen('an answer from a client', [method(1, 50, 11, short('q'), u32(0), u32(0))], closed(503, 'queue.declare-ok')),
  whenOpen('a request for access', [method(1, 30, 10, short('/data'), u8(0))], ['access.request-ok on 1']),
  ...[0, 1, 2, 3].map((size) =>
    whenOpen(`a method of ${size} bytes`, [frame(METHOD, 1, Buffer.alloc(size))], closed(501)),
  ),
  whenOpen('a method without its arguments', [method(1, 50, 10)], closed(501, 'queue.declare')),
  whenOpen(
    'a method cut short within a name',
    [method(1, 50, 10, u16(0), u8(200), Buffer.from('q'))],
    closed(501, 'queue.declare'),
  ),
  whenOpen(
    'a method with more behind its arguments',
    [method(1, 60, 10, u32(0), u16(1), u8(0), Buffer.from('more'))],
    closed(501, 'basic.qos'),
  ),
  whenOpen(
    'a method with 200 bytes that mean nothing',
    [method(1, 50, 10, Buffer.alloc(200))],
    closed(501, 'queue.declare'),
  ),
  {
    title: 'a tag of a consumer that is taken',
    says: ['queue.declare-ok on 1', 'basic.consume-ok on 1', ...closed(530, 'basic.consume')],
    play: async (raw, vhost) => {
      await raw.open({ vhost })
      raw.send(method(1, 50, 10, u16(0), short('tags'), u8(0b100), u32(0)), consume('tags', 'c'))
      await raw.hear(2)
      raw.send(consume('tags', 'c'))
      await raw.hear(4)
    },
  },
  whenOpen('a prefetch of bytes', [method(1, 60, 10, u32(1), u16(1), u8(0))], closed(540, 'basic.qos')),
  whenOpen('a recovery without requeueing', [method(1, 60, 110, u8(0))], closed(540, 'basic.recover')),
  whenOpen(
    'an ack of the largest tag',
    [method(1, 60, 80, u64(0xffff_ffff_ffff_ffffn), u8(1))],
    ['channel.close 406 for basic.ack'],
  ),
  whenOpen(
    'an ack of a tag that has no double',
    [method(1, 60, 80, u64(9_007_199_254_740_993n), u8(0))],
    ['channel.close 406 for basic.ack'],
  ),

  whenOpen(
    'a name of a queue that is no text',
    [method(1, 50, 10, u16(0), short(NO_TEXT), u8(0), u32(0))],
    closed(501),
  ),
  whenOpen(
    'a type of an exchange that is no text',
    [method(1, 40, 10, u16(0), short('x'), short(NO_TEXT), u8(0), u32(0))],
    closed(501),
  ),
  whenOpen(
    'a reason that is no text',
    [method(0, 10, 50, u16(200), short(NO_TEXT), u32(0))],
    closed(501, 'connection.close'),
  ),
  ...[
    [0x80],
    [0xc0, 0x80],
    [0xc1, 0xbf],
    [0xe0, 0x80, 0x80],
    [0xe2, 0x82],
    [0xf0, 0x80, 0x80, 0x80],
    [0xf8, 0x88, 0x80, 0x80, 0x80],
    [0xff],
  ].map((bytes) => whenOpen(`a tag of the bytes ${bytes.join(' ')}`, [consumerTag(...bytes)], closed(501))),
  ...[
    [0],
    [0xed, 0xa0, 0x80],
    [0xef, 0xbf, 0xbf],
    [0xf0, 0x9f, 0x92, 0xa9],
    [0xf4, 0x90, 0x80, 0x80],
    [0xf5, 0x80, 0x80, 0x80],
  ].map((bytes) =>
    whenOpen(`a tag of the bytes ${bytes.join(' ')}`, [consumerTag(...bytes)], ['basic.cancel-ok on 1']),
  ),

  whenChannelClosed('what is said on a channel that the broker has closed', [qos, FLOW, PING], WAITS),
  whenChannelClosed(
    'a message on a channel that the broker has closed',
    [
      publish(),
      frame(HEADER, 1, u16(60), u16(0), u64(1n), u16(0)),
      frame(BODY, 1, Buffer.from('x')),
      method(1, 20, 41),
      method(1, 20, 10, short('')),
      FLOW,
    ],
    ['channel.open-ok on 1', ...GOES_ON],
  ),
  whenChannelClosed('a channel that both close at once', [closeOf(1), PING], ['channel.close-ok on 1', ...WAITS]),
  whenChannelClosed('an unknown method on a channel that the broker has closed', [method(1, 99, 99)], DROPPED),
  whenOpen(
    'what is said on a connection that the broker has closed',
    [frame(4, 0), method(1, 99, 99), qos, frame(BODY, 1)],
    closed(501),
  ),
  whenOpen(
    'a connection that both close at once',
    [frame(4, 0), method(0, 10, 50, u16(200), short(''), u32(0))],
    ['connection.close 501 for nothing', 'connection.close-ok on 0', 'the end'],
  ),
  {
    title: 'silence where heartbeats were agreed on',
    says: DROPPED,
    play: async (raw, vhost) => {
      await raw.open({ vhost, heartbeat: 1 })
      await raw.hear(1)
    },
  },
  {
    title: 'half a frame, then silence',
    says: DROPPED,
    play: async (raw, vhost) => {
      await raw.open({ vhost, heartbeat: 1 })
      raw.send(u8(BODY), u16(1), u32(1_000), Buffer.alloc(500))
      await raw.hear(1)
    },
  },
  {
    title: 'nothing but heartbeats, which the broker sends as well',
    says: ['heartbeats', ...GOES_ON],
    play: async (raw, vhost) => {
      await raw.open({ vhost, heartbeat: 1 })
      // a second of silence would not be enough to give up, and so it cannot be told from none
      await raw.dribble(Buffer.concat(Array.from({ length: 5 }, () => frame(HEARTBEAT, 0))), 100)
      raw.send(FLOW)
      await raw.hear(1)
      raw.said.unshift(raw.heartbeats > 1 ? 'heartbeats' : 'no heartbeats')
    },
  },
]
