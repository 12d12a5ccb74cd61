/** The development store: what it listens to, how much it holds, and that a client who breaks the rules hurts itself alone. */
import { setTimeout as delay } from 'node:timers/promises'
import { createTempStore } from 'eventail/store'
import { expect, onTestFinished, test } from 'vitest'
import { RELEASE, SET_ALL } from '../../src/store/scripts.ts'
import { StoreServer, type StoreServerOptions } from '../../src/store-server/store-server.ts'
import { TestClock } from '../../src/testing/test-clock.ts'
import { answersOf, encoded, RespClient } from './resp-client.ts'

const MIB = 1_024 * 1_024

async function started(options?: StoreServerOptions): Promise<StoreServer> {
  const server = await StoreServer.start(options)
  onTestFinished(() => server.close())
  return server
}

test('it listens on the loopback address alone, and a port that is taken is named', async () => {
  const { url } = await started()
  expect(url).toMatch(/^redis:\/\/127\.0\.0\.1:\d+$/)
  const port = Number(new URL(url).port)
  await expect(StoreServer.start({ port })).rejects.toThrow(
    new RegExp(`^port: ${port} of 127\\.0\\.0\\.1 cannot be used`),
  )
})

test('keys end by the clock that it is given, whether somebody asks for them or not', async () => {
  const clock = new TestClock(1_700_000_000_000)
  const { url } = await started({ clock, memoryLimitBytes: 10_000 })
  const ask = async (...command: readonly string[]): Promise<string> => (await answersOf(url, [command]))[0] ?? ''
  await ask('SET', 'k', 'x'.repeat(10_000), 'PX', '5000')
  clock.goOn(clock.now() + 4_999)
  expect(await ask('PTTL', 'k')).toBe(':1')
  expect(await ask('SET', 'other', '1')).toMatch(/^-OOM/)
  clock.goOn(clock.now() + 1)
  expect(await ask('EXISTS', 'k')).toBe(':0')
  expect(await ask('SET', 'k', 'x'.repeat(10_000), 'PX', '1')).toBe('+OK')
  // nobody asks, and there is room again
  clock.goOn(clock.now() + 10_000)
  expect(await ask('SET', 'other', '1')).toBe('+OK')
})

test('a watched key that expires ends a transaction', async () => {
  const clock = new TestClock(1_700_000_000_000)
  const { url } = await started({ clock })
  const client = new RespClient(url)
  client.send('SET', 'k', '1', 'PX', '10')
  client.send('WATCH', 'k')
  await expect.poll(() => client.received).toBe('+OK\r\n+OK\r\n')
  clock.goOn(clock.now() + 10)
  client.send('MULTI')
  client.send('EXEC')
  await expect.poll(() => client.received).toBe('+OK\r\n+OK\r\n+OK\r\n*-1\r\n')
  // one that had expired before was not there
  client.received = ''
  client.send('SET', 'k', '1', 'PX', '10')
  await expect.poll(() => client.received).toBe('+OK\r\n')
  clock.goOn(clock.now() + 10)
  for (const command of [['WATCH', 'k'], ['MULTI'], ['EXEC']]) client.send(...command)
  await expect.poll(() => client.received).toBe('+OK\r\n+OK\r\n+OK\r\n*0\r\n')
})

test('of two clients that watch a key each is told, whatever the other does', async () => {
  const { url } = await started()
  const [one, other] = [new RespClient(url), new RespClient(url)]
  for (const client of [one, other]) client.send('WATCH', 'k')
  await expect.poll(() => one.received + other.received).toBe('+OK\r\n+OK\r\n')
  one.send('UNWATCH')
  await expect.poll(() => one.received).toBe('+OK\r\n+OK\r\n')
  await answersOf(url, [['SET', 'k', '1']])
  for (const client of [one, other]) for (const name of ['MULTI', 'EXEC']) client.send(name)
  await expect.poll(() => other.received).toBe('+OK\r\n+OK\r\n*-1\r\n')
  await expect.poll(() => one.received).toBe('+OK\r\n+OK\r\n+OK\r\n*0\r\n')
})

test('when its memory is full it stores nothing more, in whatever way, and does the rest', async () => {
  const { url } = await started({ memoryLimitBytes: MIB })
  const full = "OOM command not allowed when used memory > 'maxmemory'."
  const lines = await answersOf(url, [
    ['SET', 'small', '1'],
    ['MSET', 'a', 'x'.repeat(MIB), 'b', '1'],
    ['SET', 'k', '1'],
    ['SETEX', 'k', '5', '1'],
    ['MSET', 'k', '1', 'l', '1'],
    ['EVAL', SET_ALL.lua, '2', 'k', 'l', '5000', '1', '2'],
    ['MULTI'],
    ['DEL', 'a'],
    ['EXEC'],
    ['MGET', 'k', 'l', 'b'],
    ['EVAL', RELEASE.lua, '1', 'small', '1'],
    ['DEL', 'a'],
    ['SET', 'k', '1'],
  ])
  expect(lines).toEqual([
    '+OK',
    '+OK',
    `-${full}`,
    `-${full}`,
    `-${full}`,
    `-${full}`,
    '+OK',
    `-${full}`,
    '-EXECABORT Transaction discarded because of previous errors.',
    '*3',
    '$-1',
    '$-1',
    '$1',
    '1',
    ':1',
    ':1',
    '+OK',
    '+OK',
    '',
  ])
})

test('what is replaced, removed or expired takes no memory', async () => {
  const clock = new TestClock(1_700_000_000_000)
  const { url } = await started({ clock, memoryLimitBytes: MIB })
  const most = 'x'.repeat(MIB - 2_000)
  const set = ['SET', 'k', most] as const
  expect(
    await answersOf(url, [set, set, set, ['DEL', 'k'], ['SET', 'l', most, 'PX', '10'], ['SET', 'm', '1']]),
  ).toEqual(['+OK', '+OK', '+OK', ':1', '+OK', '+OK', '+OK', ''])
  clock.goOn(clock.now() + 10)
  expect(await answersOf(url, [['GET', 'l'], set, ['SET', 'm', '1']])).toEqual(['$-1', '+OK', '+OK', '+OK', ''])
})

test('a transaction that was queued before its memory was full is discarded', async () => {
  const { url } = await started({ memoryLimitBytes: MIB })
  const client = new RespClient(url)
  for (const command of [['MULTI'], ['SET', 'k', '1']]) client.send(...command)
  await expect.poll(() => client.received).toBe('+OK\r\n+QUEUED\r\n')
  await answersOf(url, [['SET', 'a', 'x'.repeat(MIB)]])
  client.send('EXEC')
  await expect.poll(() => client.received).toContain('-EXECABORT Transaction discarded because of: OOM')
  expect(await answersOf(url, [['EXISTS', 'k']])).toContain(':0')
})

test('a StoreError says that it is full', async () => {
  const { url } = await started({ memoryLimitBytes: MIB })
  await using store = createTempStore({ namespace: 'x:', url, timeoutMs: 10_000 })
  await store.set('heavy', new Uint8Array(MIB))
  await expect(store.mset({ a: 1 })).rejects.toMatchObject({ code: 'STORE', message: expect.stringContaining('OOM') })
  expect(await store.pop('heavy')).toHaveLength(MIB)
  await store.mset({ a: 1 })
})

test.each([
  ['a command on a line', 'PING\r\n', "expected '*', got 'P'"],
  ['a request of a browser', 'POST / HTTP/1.1\r\nHost: x\r\n\r\n*1\r\n$4\r\nPING\r\n', "expected '*', got 'P'"],
  ['noise', '\u0000\u001b[2J\u0007', String.raw`expected '*', got '\x00'`],
  ['too many texts', '*1048577\r\n', 'invalid multibulk length'],
  ['a number of texts that is none', '*1e3\r\n', 'invalid multibulk length'],
  ['a line that does not end', `*${'1'.repeat(40)}`, 'invalid multibulk length'],
  ['a text that is too long', '*1\r\n$67108865\r\n', 'invalid bulk length'],
  ['a length beyond all numbers', `*1\r\n$9999999999999999999\r\n`, 'invalid bulk length'],
  ['a negative length', '*1\r\n$-1\r\n', 'invalid bulk length'],
  [
    'many texts that are too long together',
    `*3\r\n$0\r\n\r\n$67108000\r\n${'x'.repeat(67_108_000)}\r\n$865\r\n`,
    'invalid bulk length',
  ],
  ['no text', '*1\r\n:1\r\n', "expected '$', got ':'"],
  ['a text that does not end', '*1\r\n$4\r\nPINGPING', 'a text does not end where it should'],
])('%s ends the connection, and no other', async (_name, bytes, problem) => {
  const { url } = await started()
  const other = new RespClient(url)
  other.send('SET', 'k', '1')
  await expect.poll(() => other.received).toBe('+OK\r\n')
  const hostile = new RespClient(url)
  hostile.socket.write(Buffer.from(bytes, 'latin1'))
  await hostile.closed
  expect(hostile.received).toContain(`-ERR Protocol error: ${problem}`)
  expect(hostile.received).not.toContain('PONG')
  other.send('GET', 'k')
  await expect.poll(() => other.received).toBe('+OK\r\n$1\r\n1\r\n')
})

test('bytes that come one by one, and commands that come all at once, are read the same', async () => {
  const { url } = await started()
  const commands = Array.from({ length: 50 }, (_, n) => encoded(['ECHO', `text ${n}`]))
  const expected = commands.map((_, n) => `$${`text ${n}`.length}\r\ntext ${n}\r\n`).join('')
  const slow = new RespClient(url)
  slow.socket.setNoDelay(true)
  for (const byte of Buffer.concat([Buffer.from('*0\r\n*-1\r\n'), ...commands.slice(0, 3)])) {
    slow.socket.write(Buffer.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  slow.socket.write(Buffer.concat(commands.slice(3)))
  await expect.poll(() => slow.received).toBe(expected)
})

test('a transaction holds no more than a command may', async () => {
  const { url } = await started()
  const half = 'x'.repeat(33 * MIB)
  const lines = await answersOf(url, [['MULTI'], ['ECHO', half], ['ECHO', half], ['PING'], ['EXEC']])
  expect(lines.slice(0, 3)).toEqual([
    '+OK',
    '+QUEUED',
    expect.stringMatching(/^-ERR a transaction may take 67108864 bytes/),
  ])
  expect(lines).toContain('-EXECABORT Transaction discarded because of previous errors.')
})

test('a client that takes no answers is read no further', async () => {
  const { url } = await started()
  await answersOf(url, [['SET', 'k', 'x'.repeat(MIB)]])
  const greedy = new RespClient(url)
  greedy.socket.pause()
  const get = Buffer.concat(Array.from({ length: 1_000 }, () => encoded(['GET', 'k'])))
  const setAfterwards = encoded(['SET', 'last', '1'])
  greedy.socket.write(Buffer.concat([get, setAfterwards, encoded(['ECHO', 'x'.repeat(60 * MIB)])]))
  const isThere = async (): Promise<boolean> => (await answersOf(url, [['EXISTS', 'last']]))[0] === ':1'
  await delay(500)
  expect(await isThere()).toBe(false)
  expect(greedy.socket.writableLength).toBeGreaterThan(0)
  greedy.socket.removeAllListeners('data')
  greedy.socket.resume()
  await expect.poll(isThere, { timeout: 20_000 }).toBe(true)
}, 40_000)

test('when it ends its clients are cut off', async () => {
  const server = await StoreServer.start()
  const client = new RespClient(server.url)
  client.send('PING')
  await expect.poll(() => client.received).toBe('+PONG\r\n')
  await server.close()
  await client.closed
})
