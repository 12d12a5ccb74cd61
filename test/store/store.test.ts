/** The temporary store: one suite for every implementation, and what Redis alone can show. */
import { setTimeout as delay } from 'node:timers/promises'
import { InvalidSettingError, StoreBusyError, StoreError } from 'eventail'
import { createMemoryStore, createTempStore, type StoreOptions, type TempStore } from 'eventail/store'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type RedisServer, startRedis, startSentinel } from '../../dev/redis.mjs'
import { Python } from '../bus/python.ts'
import { gate } from '../bus/watched.ts'
import { StoreServer } from '../../src/store-server/store-server.ts'

const STORE_PY = new URL('peers/store.py', import.meta.url)
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

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

let spaces = 0
/** A namespace that nobody else uses. */
function namespace(): string {
  spaces += 1
  return `n${spaces}:`
}

/** A store in Python, and a way to have it do something. */
function pythonStore(url: string, space: string): { python: Python; ask: (order: object) => Promise<unknown> } {
  const python = Python.start(STORE_PY, url, space)
  return {
    python,
    ask: async (order) => {
      python.tell(order)
      return JSON.parse(await python.nextLine()) as unknown
    },
  }
}

const servers: readonly [string, () => string][] = [
  ['Redis', () => redis.url],
  ['the development store', () => development.url],
]

const implementations: readonly [string, (options: StoreOptions) => TempStore][] = [
  ['in memory', (options) => createMemoryStore(options)],
  ...servers.map(([name, url]): [string, (options: StoreOptions) => TempStore] => [
    `on ${name}`,
    (options) => createTempStore({ ...options, url: url() }),
  ]),
]

describe.each(implementations)('a store %s', (_name, create) => {
  const open = (options: Partial<StoreOptions> = {}): TempStore => create({ namespace: namespace(), ...options })

  test('waits for another creator as long as it is told to', async () => {
    await using store = open()
    const held = gate()
    const first = store.peekOrCreate('slow', async () => {
      await held.opened
      return 1
    })
    await delay(50)
    const busy = await store
      .peekOrCreate('slow', () => Promise.resolve(2), { waitMs: 100 })
      .catch((error: unknown) => error)
    expect(busy).toBeInstanceOf(StoreBusyError)
    expect(busy).toMatchObject({ code: 'STORE_BUSY' })
    held.open()
    expect(await first).toBe(1)
    expect(await store.peekOrCreate('slow', () => Promise.resolve(2), { waitMs: 100 })).toBe(1)
  })

  test('keeps values of every kind, and falsy ones are values', async () => {
    await using store = open()
    const values = {
      zero: 0,
      empty: '',
      no: false,
      nothing: null,
      deep: { list: [1, 'zwei', [true]] },
      big: 2n ** 63n,
      float: 1.5,
    }
    await store.mset(values)
    for (const [key, value] of Object.entries(values)) expect(await store.peek(key)).toEqual(value)
    const bytes = Uint8Array.of(0, 255)
    await store.set('bytes', bytes)
    expect(Buffer.compare((await store.pop('bytes')) as Uint8Array, bytes)).toBe(0)
    expect(await store.pop('nothing')).toBeNull()
    expect(await store.pop('nothing')).toBeUndefined()
    expect(await store.peek('never')).toBeUndefined()
    expect(await store.isDown()).toBe('')
  })

  test('replaces a value, and gives out copies', async () => {
    await using store = open()
    const value = { list: [1] }
    await store.set('k', value)
    value.list.push(2)
    const read = (await store.peek('k')) as typeof value
    read.list.push(3)
    expect(await store.peek('k')).toEqual({ list: [1] })
    await store.set('k', 'other')
    expect(await store.peek('k')).toBe('other')
  })

  test('lets values live as long as they may, each for itself', async () => {
    await using store = open({ ttlMs: 60 })
    await store.set('short', 1)
    await store.set('long', 1, { ttlMs: 60_000 })
    await store.mset({ a: 1, b: 2 }, { ttlMs: 60 })
    await store.peekOrCreate('made', () => 1, { ttlMs: 60 })
    await expect
      .poll(() => Promise.all(['short', 'a', 'b', 'made'].map((key) => store.peek(key))))
      .toEqual(upTo(4).map(() => undefined))
    expect(await store.peek('long')).toBe(1)
    expect(await store.mpop(['long', 'short'])).toBeUndefined()
  })

  test('gives a value to exactly one of a hundred that pop it', async () => {
    await using store = open()
    await store.set('k', 'prize')
    const popped = await Promise.all(upTo(100).map(() => store.pop('k')))
    expect(popped.filter((value) => value === 'prize')).toHaveLength(1)
    expect(popped.filter((value) => value === undefined)).toHaveLength(99)
  })

  test('pops several values all or none, whoever else asks', async () => {
    await using store = open()
    await store.mset({ a: 1, b: null, c: 3 })
    expect(await store.mpop(['a', 'missing', 'b'])).toBeUndefined()
    expect(await store.peek('a')).toBe(1)
    const popped = await Promise.all(upTo(50).map((n) => store.mpop(n % 2 === 0 ? ['a', 'b', 'c'] : ['c', 'a'])))
    const won = popped.filter((values) => values !== undefined)
    expect(won).toHaveLength(1)
    expect([
      [1, null, 3],
      [3, 1],
    ]).toContainEqual(won[0])
    expect(await store.mpop([])).toEqual([])
  })

  test('creates a value once, however many ask for it, and what fails is created by the next', async () => {
    await using store = open()
    let calls = 0
    const factory = async (): Promise<object> => {
      calls += 1
      await delay(50)
      return { n: calls }
    }
    const made = await Promise.all(upTo(100).map(() => store.peekOrCreate('k', factory)))
    expect(made).toEqual(upTo(100).map(() => ({ n: 1 })))
    expect(calls).toBe(1)
    const failing = store.peekOrCreate('f', () => {
      throw new Error('not today')
    })
    await expect(failing).rejects.toThrow('not today')
    expect(await store.peekOrCreate('f', () => 0)).toBe(0)
    await expect(store.peekOrCreate('u', () => undefined)).rejects.toMatchObject({ code: 'PAYLOAD_ENCODE' })
  })

  test('gives everybody the value that was stored first when a factory outlives its lock', async () => {
    await using store = open()
    const goOn = gate()
    const late = store.peekOrCreate(
      'k',
      async () => {
        await goOn.opened
        return 'late'
      },
      { lockMs: 50 },
    )
    expect(await store.peekOrCreate('k', () => 'first')).toBe('first')
    goOn.open()
    expect(await late).toBe('first')
    expect(await store.peek('k')).toBe('first')
  })

  test('keeps namespaces apart', async () => {
    const shared = namespace()
    await using one = create({ namespace: shared })
    await using other = open()
    await one.set('k', 1)
    expect(await other.pop('k')).toBeUndefined()
    expect(await one.pop('k')).toBe(1)
  })

  test('refuses what is no key, no value and no time, and everything once it is closed', async () => {
    const store = open()
    await expect(store.set('', 1)).rejects.toThrow('key: must be a text that is not empty')
    await expect(store.peek(3 as never)).rejects.toBeInstanceOf(InvalidSettingError)
    await expect(store.set('k', () => {})).rejects.toMatchObject({ code: 'PAYLOAD_ENCODE' })
    await expect(store.set('k', 1, { ttlMs: 0 })).rejects.toThrow('ttlMs: must be a whole number of milliseconds')
    await expect(store.set('k', 1, { ttl: 5 } as never)).rejects.toThrow("'ttl' does not exist")
    await expect(store.mset({ a: 1, b: Symbol('b') })).rejects.toMatchObject({ code: 'PAYLOAD_ENCODE' })
    expect(await store.peek('a')).toBeUndefined()
    expect(() => create({ namespace: 'x', ttlMs: -1 })).toThrow(InvalidSettingError)
    await store.close()
    await store.close()
    for (const call of [
      store.set('k', 1),
      store.pop('k'),
      store.mpop(['k']),
      store.peek('k'),
      store.peekOrCreate('k', () => 1),
    ])
      await expect(call).rejects.toBeInstanceOf(StoreError)
    expect(await store.isDown()).toContain('closed')
  })
})

describe.each(servers)('with Python, on %s', (_name, url) => {
  test('keys, values and times to live are the same, both ways', async () => {
    const space = namespace()
    await using store = createTempStore({ namespace: space, url: url() })
    const { ask } = pythonStore(url(), space)
    const values: readonly [unknown, string][] = [
      [{ who: 'Ädä', n: [1, -2, 1.5, null, true] }, 'a26377686f65c38464c3a4616e850121fb3ff8000000000000f6f5'],
      [0, '00'],
      ['', '60'],
      [false, 'f4'],
      [null, 'f6'],
    ]
    for (const [value, raw] of values) {
      await store.set('k', value)
      expect(await ask({ do: 'get', key: 'k' })).toEqual({ raw, value, ttl: expect.closeTo(270_000, -2) })
      await ask({ do: 'set', key: 'p', value, ttl: 50 })
      expect(await store.peek('p')).toEqual(value)
    }
    await ask({ do: 'set', key: 'bytes', base64: 'AP8=' })
    expect(Buffer.from((await store.pop('bytes')) as Uint8Array).toString('base64')).toBe('AP8=')
    expect(await ask({ do: 'get', key: 'bytes' })).toMatchObject({ raw: null })
  })

  test('what one leaves the other takes, one value or all or none', async () => {
    const space = namespace()
    await using store = createTempStore({ namespace: space, url: url() })
    const { ask } = pythonStore(url(), space)
    await store.mset({ a: 1, b: null, c: 'three' })
    expect(await ask({ do: 'pop', key: 'c' })).toBe('three')
    expect(await ask({ do: 'pop', key: 'c' })).toBeNull()
    expect(await ask({ do: 'mpop', keys: ['a', 'c', 'b'] })).toBeNull()
    expect(await ask({ do: 'mpop', keys: ['a', 'b'] })).toEqual([1, null])
    expect(await store.peek('a')).toBeUndefined()
    await ask({ do: 'mset', values: { d: 4, e: false } })
    expect(await ask({ do: 'get', key: 'd' })).toMatchObject({ value: 4, ttl: -1 })
    expect(await store.mpop(['e', 'd'])).toEqual([false, 4])
  })

  test("a lock in Python lasts longer when it is told to, while it is its owner's", async () => {
    const space = namespace()
    await using locks = createTempStore({ namespace: '', url: url() })
    const { ask } = pythonStore(url(), space)
    expect(await ask({ do: 'lock', key: `${space}a`, timeout: 1_000 })).toBe(true)
    expect(await ask({ do: 'extend', key: `${space}a`, seconds: 9_000 })).toBeCloseTo(10_000_000, -6)
    expect(await ask({ do: 'reacquire', key: `${space}a` })).toBeCloseTo(1_000_000, -6)
    await locks.set(`${space}a_lock`, 'of somebody else')
    for (const order of [{ do: 'extend', seconds: 9_000 }, { do: 'reacquire' }, { do: 'release' }])
      expect(await ask({ ...order, key: `${space}a` })).toBe('LockNotOwnedError')
  })

  test('a lock of one holds off the other, and neither releases what it has lost', async () => {
    const space = namespace()
    await using store = createTempStore({ namespace: space, url: url() })
    const { python, ask } = pythonStore(url(), space)
    // theirs holds off ours
    expect(await ask({ do: 'lock', key: `${space}a`, timeout: 30 })).toBe(true)
    let created = false
    const ours = store.peekOrCreate(`${space}a`, () => (created = true))
    await delay(250)
    expect(created).toBe(false)
    expect(await ask({ do: 'release', key: `${space}a` })).toBe('released')
    expect(await ours).toBe(true)
    // ours holds off theirs
    const goOn = gate()
    const begun = gate()
    const held = store.peekOrCreate(`${space}b`, async () => {
      begun.open()
      await goOn.opened
      return 'ours'
    })
    await begun.opened
    expect(await ask({ do: 'lock', key: `${space}b`, timeout: 1 })).toBe(false)
    python.tell({ do: 'peek_or_create', key: `${space}b`, timeout: 30, value: 'theirs' })
    await delay(150)
    goOn.open()
    expect(await held).toBe('ours')
    expect(JSON.parse(await python.nextLine())).toBe('ours')
    const goOnLate = gate()
    const begunLate = gate()
    // a lock that has run out belongs to the next: its first owner leaves it alone
    const late = store.peekOrCreate(
      `${space}c`,
      async () => {
        begunLate.open()
        await goOnLate.opened
        return 'late'
      },
      { lockMs: 50 },
    )
    await begunLate.opened
    await expect.poll(() => ask({ do: 'lock', key: `${space}c`, timeout: 30 })).toBe(true)
    goOnLate.open()
    expect(await late).toBe('late')
    expect(await ask({ do: 'release', key: `${space}c` })).toBe('released')
  })
})

describe('a store that is down', () => {
  test('says so quickly, its calls reject in time, and it works again when its server does', async () => {
    await using own = await startRedis()
    await using store = createTempStore({ namespace: 'x:', url: own.url, timeoutMs: 1_000 })
    await store.set('kept', 1)
    own.freeze()
    const start = performance.now()
    const [why, ...outcomes] = await Promise.all([
      store.isDown(),
      ...[store.set('k', 1), store.pop('k'), store.mpop(['k']), store.peekOrCreate('k', () => 1)].map((call) =>
        call.catch((error: unknown) => error),
      ),
    ])
    expect(performance.now() - start).toBeLessThan(5_000)
    expect(why).toMatch(/^Redis at 127\.0\.0\.1:\d+: /)
    for (const outcome of outcomes) expect(outcome).toBeInstanceOf(StoreError)
    own.thaw()
    await expect.poll(() => store.isDown(), { timeout: 10_000 }).toBe('')
    await own.restart()
    await expect.poll(() => store.isDown(), { timeout: 10_000 }).toBe('')
    expect(await store.peek('kept')).toBe(1)
  }, 30_000)

  test('that was never there says why, and where it looked, without the password', async () => {
    await using store = createTempStore({ namespace: 'x:', url: 'redis://me:canary@127.0.0.1:1', timeoutMs: 300 })
    const failure: unknown = await store.peek('k').catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'STORE', message: expect.stringContaining('Redis at 127.0.0.1:1') })
    expect(String((failure as Error).stack)).not.toContain('canary')
    expect(await store.isDown()).toContain('ECONNREFUSED')
  })
})

test('user, password and database reach the server; a wrong password is told', async () => {
  await using guarded = await startRedis(['requirepass secret', 'user ada on >lovelace ~* +@all'])
  const at = (path: string): string => guarded.url.replace('redis://', `redis://${path}@`)
  await using three = createTempStore({ namespace: 'x:', url: `${at('ada:lovelace')}/3` })
  await three.set('k', 1)
  await using zero = createTempStore({ namespace: 'x:', url: at(':secret') })
  expect(await zero.peek('k')).toBeUndefined()
  expect(await three.peek('k')).toBe(1)
  await using wrong = createTempStore({ namespace: 'x:', url: at(':canary') })
  const why = await wrong.isDown()
  expect(why).toMatch(/WRONGPASS|invalid username-password/)
  expect(why).not.toContain('canary')
})

test('a fail-over of a group with Sentinel loses no call for good, and no value that was there', async () => {
  await using master = await startRedis()
  await using replica = await startRedis([`replicaof 127.0.0.1 ${master.port}`])
  await using sentinel = await startSentinel('group', master.port)
  await using store = createTempStore({
    namespace: 'x:',
    sentinel: { name: 'group', nodes: [{ host: '127.0.0.1', port: sentinel.port }] },
    timeoutMs: 1000,
  })
  await expect.poll(() => store.isDown(), { timeout: 10_000 }).toBe('')
  await store.set('before', 'value')
  await using onReplica = createTempStore({ namespace: 'x:', url: replica.url })
  await expect.poll(() => onReplica.peek('before'), { timeout: 10_000 }).toBe('value')
  await master.kill()
  expect(await store.isDown()).not.toBe('')
  await expect.poll(() => store.isDown(), { timeout: 20_000, interval: 200 }).toBe('')
  expect(await store.peek('before')).toBe('value')
  await store.set('after', 1)
  expect(await onReplica.peek('after')).toBe(1)
}, 60_000)

test('EVENTAIL_REDIS_URL says where Redis is, unless options do', async () => {
  try {
    vi.stubEnv('EVENTAIL_REDIS_URL', `${redis.url}/5`)
    await using fifth = createTempStore({ namespace: 'env:' })
    await using zero = createTempStore({ namespace: 'env:', url: redis.url })
    await using fifthByUrl = createTempStore({ namespace: 'env:', url: `${redis.url}/5` })
    await fifth.set('k', 5)
    expect(await zero.peek('k')).toBeUndefined()
    expect(await fifthByUrl.peek('k')).toBe(5)
    vi.stubEnv('EVENTAIL_REDIS_URL', 'http://me:canary@host')
    const wrong = () => createTempStore({ namespace: 'env:' })
    expect(wrong).toThrow(/^EVENTAIL_REDIS_URL: is not a URL like redis:/)
    expect(wrong).not.toThrow('canary')
    const sentinel = { name: 'group', nodes: [{ host: '127.0.0.1', port: 1 }] }
    await createTempStore({ namespace: 'env:', sentinel }).close()
    // an empty one is none
    vi.stubEnv('EVENTAIL_REDIS_URL', '')
    await createTempStore({ namespace: 'env:' }).close()
  } finally {
    vi.unstubAllEnvs()
  }
})

test('a wrong URL, group or option is refused, without what may be a password', () => {
  const make = (options: object) => () => createTempStore({ namespace: 'x:', ...options })
  for (const url of ['no', 'http://localhost', 'redis://u:ca/nary@host', 'redis://host/words'])
    expect(make({ url })).toThrow(/^url of the store: /)
  expect(make({ url: 'no canary' })).not.toThrow('canary')
  expect(make({ sentinel: { name: 'x', nodes: [] } })).toThrow('sentinel: needs the name of the group')
  expect(make({ password: 'x' })).toThrow("store: 'password' does not exist")
})
