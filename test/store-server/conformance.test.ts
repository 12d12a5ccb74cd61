/** The development store beside Redis: the same commands have the same answers, byte for byte, in both versions of the protocol. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../../dev/redis.mjs'
import { StoreServer } from '../../src/store-server/store-server.ts'
import { POP_ALL, RELEASE, type Script, SET_ALL, STORE_AND_RELEASE } from '../../src/store/scripts.ts'
import { answersOf, RespClient } from './resp-client.ts'

type Commands = readonly (readonly (string | Buffer)[])[]

let redis: RedisServer
let development: StoreServer
beforeAll(async () => {
  redis = await startRedis()
  development = await StoreServer.start()
})
afterAll(async () => {
  await redis.dispose()
  await development.close()
})

const BYTES = Buffer.from([0, 13, 10, 36, 255, 0])
const evaluate = (script: Script, names: readonly string[], ...args: readonly (string | Buffer)[]) =>
  ['EVAL', script.lua, String(names.length), ...names, ...args] as const

/** Each begins with its database empty. Times are such that a slow machine rounds them the same. */
const SCENARIOS: Readonly<Record<string, Commands>> = {
  'values are set, read and removed': [
    ['SET', 'a', BYTES],
    ['GET', 'a'],
    ['get', 'none'],
    ['SET', 'empty', ''],
    ['GET', 'empty'],
    ['EXISTS', 'empty', 'a', 'a', 'none'],
    ['GETDEL', 'a'],
    ['GETDEL', 'a'],
    ['SET', BYTES, 'under bytes'],
    ['GET', BYTES],
    ['DEL', 'empty', 'none', 'empty'],
    ['DEL', 'empty'],
    ['DEL', BYTES],
  ],
  'several are set and read': [
    ['MSET', 'a', '1', 'b', '2', 'a', '3'],
    ['MGET', 'a', 'none', 'b', 'a'],
    ['TTL', 'a'],
    ['DEL', 'a', 'b'],
  ],
  'a value is set only where there is none, or one': [
    ['SET', 'a', '1', 'XX'],
    ['SET', 'a', '2', 'NX', 'PX', '900000'],
    ['SET', 'a', '3', 'px', '900000', 'nx'],
    ['GET', 'a'],
    ['SET', 'a', '4', 'XX', 'EX', '900'],
    ['GET', 'a'],
    ['SET', 'a', '5'],
    ['TTL', 'a'],
    ['DEL', 'a'],
  ],
  'times to live are set, told and run out': [
    ['SET', 'a', '1', 'EX', '9000000'],
    ['TTL', 'a'],
    ['SETEX', 'b', '8000000', '2'],
    ['TTL', 'b'],
    ['PSETEX', 'c', '7000000000', '3'],
    ['TTL', 'c'],
    ['EXPIRE', 'c', '6000000'],
    ['TTL', 'c'],
    ['PEXPIRE', 'c', '5000000000'],
    ['TTL', 'c'],
    ['EXPIRE', 'c', '0'],
    ['GET', 'c'],
    ['PEXPIRE', 'b', '-1'],
    ['EXISTS', 'b'],
    ['EXPIRE', 'none', '5'],
    ['TTL', 'none'],
    ['PTTL', 'none'],
    ['SET', 'stays', '1'],
    ['PTTL', 'stays'],
    ['DEL', 'a', 'stays'],
  ],
  'times that are none are refused': [
    ...['0', '-1', '1.5', '', '01', '+1', ' 1', '1x', '9223372036854775808', '9223372036854775807'].flatMap((time) => [
      ['SET', 'a', '1', 'PX', time],
      ['SET', 'a', '1', 'EX', time],
      ['SETEX', 'a', time, '1'],
      ['PSETEX', 'a', time, '1'],
    ]),
    ...['1.5', '', '01', '9223372036854775808', '9223372036854775807', '-9223372036854775808'].flatMap((time) => [
      ['EXPIRE', 'a', time],
    ]),
    ['GET', 'a'],
  ],
  'commands with too few or too many arguments are refused': [
    ['GET'],
    ['GET', 'a', 'b'],
    ['SET', 'a'],
    ['SETEX', 'a', '1'],
    ['MSET', 'a'],
    ['MSET', 'a', '1', 'b'],
    ['MGET'],
    ['DEL'],
    ['ttl'],
    ['ECHO'],
    ['SELECT', '0', '1'],
    ['EVAL', RELEASE.lua],
    ['WATCH'],
  ],
  'databases are apart': [
    ['SET', 'a', 'zero'],
    ['SELECT', '15'],
    ['GET', 'a'],
    ['SET', 'a', 'fifteen'],
    ['SELECT', '0'],
    ['GET', 'a'],
    ['SELECT', '16'],
    ['SELECT', '-1'],
    ['DEL', 'a'],
    ['SELECT', '15'],
    ['DEL', 'a'],
  ],
  'signs of life': [['PING'], ['PING', 'here'], ['ECHO', BYTES], ['CLIENT', 'SETNAME', 'me']],
  'transactions are done as a whole, or not': [
    ['MULTI'],
    ['SET', 'a', '1'],
    ['GET', 'a'],
    ['DEL', 'a', 'none'],
    ['SET', 'b', '1', 'PX', '0'],
    ['MGET', 'a', 'b'],
    ['EXEC'],
    ['GET', 'a'],
    ['MULTI'],
    ['SET', 'a', '1'],
    ['DISCARD'],
    ['GET', 'a'],
    ['MULTI'],
    ['SET', 'a', '1'],
    ['GET'],
    ['EXEC'],
    ['GET', 'a'],
    ['EXEC'],
    ['DISCARD'],
    ['MULTI'],
    ['MULTI'],
    ['WATCH', 'a'],
    ['EXEC'],
  ],
  'watched keys that change end a transaction': [
    ['WATCH', 'a', 'b'],
    ['SET', 'a', '1'],
    ['MULTI'],
    ['SET', 'b', '1'],
    ['EXEC'],
    ['GET', 'b'],
    ['WATCH', 'a'],
    ['DEL', 'a'],
    ['SET', 'a', '1'],
    ['UNWATCH'],
    ['MULTI'],
    ['SET', 'b', '1'],
    ['EXEC'],
    ['WATCH', 'a'],
    ['PEXPIRE', 'a', '900000'],
    ['MULTI'],
    ['EXEC'],
    ['WATCH', 'a'],
    ['PEXPIRE', 'a', '-1'],
    ['MULTI'],
    ['EXEC'],
    ['WATCH', 'none'],
    ['DEL', 'none'],
    ['GET', 'b'],
    ['MULTI'],
    ['GET', 'b'],
    ['EXEC'],
    ['WATCH', 'b'],
    ['MULTI'],
    ['DISCARD'],
    ['SET', 'b', '2'],
    ['MULTI'],
    ['GETDEL', 'b'],
    ['EXEC'],
  ],
  SET_ALL: [
    evaluate(SET_ALL, ['a', 'b', 'a'], '900000000', '1', BYTES, '3'),
    ['MGET', 'a', 'b'],
    ['TTL', 'a'],
    evaluate(SET_ALL, []),
    ['DEL', 'a', 'b'],
  ],
  POP_ALL: [
    ['MSET', 'a', '1', 'b', BYTES, 'c', '3'],
    evaluate(POP_ALL, ['a', 'none', 'b']),
    ['MGET', 'a', 'b'],
    evaluate(POP_ALL, ['b', 'a', 'b']),
    ['MGET', 'a', 'b', 'c'],
    evaluate(POP_ALL, ['c']),
  ],
  STORE_AND_RELEASE: [
    ['SET', 'lock', 'token', 'NX', 'PX', '900000'],
    evaluate(STORE_AND_RELEASE, ['a', 'lock'], BYTES, '900000000', 'other'),
    ['MGET', 'a', 'lock'],
    ['TTL', 'a'],
    evaluate(STORE_AND_RELEASE, ['a', 'lock'], 'late', '900000', 'token'),
    ['MGET', 'a', 'lock'],
    ['TTL', 'a'],
    evaluate(STORE_AND_RELEASE, ['b', 'lock'], 'without a lock', '900000', 'token'),
    ['DEL', 'a', 'b', 'lock'],
  ],
  RELEASE: [
    evaluate(RELEASE, ['lock'], 'token'),
    ['SET', 'lock', 'token'],
    evaluate(RELEASE, ['lock'], 'other'),
    ['GET', 'lock'],
    evaluate(RELEASE, ['lock'], 'token'),
    ['GET', 'lock'],
  ],
  'scripts in a transaction, and by their sum': [
    ['SCRIPT', 'LOAD', POP_ALL.lua],
    ['SCRIPT', 'EXISTS', 'no', 'c1b9a2b0f4d21ccde8f8a3f0f1e4b7f3d1f3a1aa'],
    ['MULTI'],
    ['SET', 'a', '1'],
    evaluate(POP_ALL, ['a']),
    ['EXEC'],
    ['EVALSHA', 'c1b9a2b0f4d21ccde8f8a3f0f1e4b7f3d1f3a1aa', '0'],
    ['EVAL', POP_ALL.lua, '2', 'a'],
    ['EVAL', POP_ALL.lua, '-1', 'a'],
    ['EVAL', POP_ALL.lua, 'x', 'a'],
  ],
}

describe.each([2, 3])('in version %i of the protocol', (protocol) => {
  test.each(Object.keys(SCENARIOS))('%s', async (name) => {
    const commands: Commands = SCENARIOS[name] ?? []
    // what a server says of itself is its own
    const [theirs, ours] = await Promise.all(
      [redis.url, development.url].map(async (url) => {
        const lines = await answersOf(url, [['HELLO', String(protocol)], ['ECHO', 'begin'], ...commands])
        return lines.slice(lines.indexOf('begin') + 1)
      }),
    )
    expect(ours).toEqual(theirs)
    expect(ours?.length).toBeGreaterThan(commands.length)
  })
})

test.each([
  [2, '*12'],
  [3, '%6'],
] as const)('a client that asks for version %i is told of it', async (protocol, head) => {
  const linesOf = (url: string) => answersOf(url, [['HELLO', String(protocol), 'SETNAME', 'me']])
  const [first, ...ours] = await linesOf(development.url)
  expect(first).toBe(head)
  expect(ours).toContain(`:${protocol}`)
  // Redis says more, such as the number of the client
  expect(await linesOf(redis.url)).toEqual(
    expect.arrayContaining(ours.filter((line) => !/^(?:\$\d+|\d[\d.]+)$/.test(line))),
  )
})

test('another client that changes a watched key ends a transaction, one that only reads it does not', async () => {
  const answers = await Promise.all(
    [redis.url, development.url].map(async (url) => {
      const watching = new RespClient(url)
      const other = new RespClient(url)
      const done = async (client: RespClient, ...command: readonly string[]): Promise<void> => {
        const before = client.received.length
        client.send(...command)
        await expect.poll(() => client.received.length).toBeGreaterThan(before)
      }
      for (const change of [['SET', 'w', '1'], ['GET', 'w'], evaluate(RELEASE, ['w'], '1'), ['DEL', 'w']]) {
        await done(watching, 'WATCH', 'w')
        await done(other, ...change.map(String))
        await done(watching, 'MULTI')
        await done(watching, 'PING')
        await done(watching, 'EXEC')
      }
      return watching.received
    }),
  )
  expect(answers[1]).toEqual(answers[0])
  expect(answers[1]?.match(/PONG/g)).toHaveLength(2)
})

test('what Redis has and the development store has not is refused, and says so', async () => {
  const lines = await answersOf(development.url, [
    ['ZADD', 'z', '1', 'a'],
    ['SET', 'a', '1', 'KEEPTTL'],
    ['SET', 'a', '1', 'NX', 'XX'],
    ['CLIENT', 'LIST'],
    ['SCRIPT', 'FLUSH'],
    ['HELLO', '3', 'AUTH', 'me', 'canary'],
    ['HELLO', '4'],
    ['AUTH', 'canary'],
    ['EVAL', 'return 1', '0'],
    ['SCRIPT', 'LOAD', 'return 1'],
    ['FO\r\n+OK\r\n\u001b[1m', 'a'],
    ['GET', 'a'],
  ])
  const unknown = "the development store has only what eventail's stores need. For the others run Redis"
  const script =
    "the development store runs no Lua: it knows the scripts of eventail's stores and of redis-py's locks. For others run Redis"
  expect(lines).toEqual([
    `-ERR unknown command 'ZADD': ${unknown}`,
    '-ERR syntax error; of the options of SET the development store has NX, XX, EX and PX',
    '-ERR syntax error; of the options of SET the development store has NX, XX, EX and PX',
    `-ERR unknown subcommand 'LIST' of CLIENT: ${unknown}`,
    `-ERR unknown subcommand 'FLUSH' of SCRIPT: ${unknown}`,
    `-ERR unknown option 'AUTH' of HELLO: ${unknown}`,
    '-NOPROTO unsupported protocol version',
    `-ERR unknown command 'AUTH': ${unknown}`,
    `-ERR ${script}`,
    `-ERR ${script}`,
    `-ERR unknown command 'FO\\x0d\\x0a+OK\\x0d\\x0a\\x1b[1m': ${unknown}`,
    '$-1',
    '+OK',
    '',
  ])
})
