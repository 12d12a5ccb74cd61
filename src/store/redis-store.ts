/**
 * The store on Redis, with the keys, values and locks of the Python toolkit: a key is the namespace and the key of the caller, a
 * value CBOR, a lock `<key>_lock` without the namespace, held and released as redis-py does it.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { InvalidSettingError, StoreBusyError, StoreError } from '../errors.ts'
import { checkOptions, checkWholeMs, describe } from '../options.ts'
import { checkCreate, checkKey, ttlOf } from './check.ts'
import { Redis, type RedisOptions } from './redis.ts'
import { POP_ALL, RELEASE, type Script, SET_ALL, STORE_AND_RELEASE } from './scripts.ts'
import {
  DEFAULT_LOCK_MS,
  DEFAULT_TTL_MS,
  decodeValue,
  encodeValue,
  type StoreOptions,
  type TempStore,
} from './temp-store.ts'

/** How a store on Redis works, and where it is. */
export interface RedisStoreOptions extends StoreOptions, RedisOptions {}

const TLS_NAMES = ['ca', 'cert', 'key', 'passphrase', 'servername']

/** How often somebody who waits for a lock looks again; as redis-py. */
const LOCK_POLL_MS = 100
const IS_DOWN_TTL_MS = 10_000

/**
 * Makes a store on Redis 6.2 or later, single server or Sentinel. Connects when it is first used. Needs the package `@redis/client`.
 * @throws InvalidSettingError
 */
export function createTempStore(options: RedisStoreOptions): TempStore {
  checkOptions('store', options, ['namespace', 'ttlMs', 'url', 'sentinel', 'tls', 'timeoutMs'])
  const { namespace, ttlMs = DEFAULT_TTL_MS, ...redisOptions } = options
  if (typeof namespace !== 'string')
    throw new InvalidSettingError('namespace', `must be a text, not ${describe(namespace)}`)
  checkWholeMs('ttlMs', ttlMs)
  if (redisOptions.timeoutMs !== undefined) checkWholeMs('timeoutMs', redisOptions.timeoutMs)
  if (redisOptions.tls !== undefined) checkOptions('tls', redisOptions.tls, TLS_NAMES)
  const redis = new Redis(redisOptions)
  const nameOf = (key: unknown): string => {
    checkKey(key)
    return namespace + key
  }
  const evaluate = (script: Script, keys: readonly string[], ...args: (string | Buffer)[]): Promise<unknown> =>
    redis.run('EVAL', script.lua, String(keys.length), ...keys, ...args)
  const peek = async (key: string): Promise<unknown> => valueOf(await redis.run('GET', nameOf(key)))

  const create = async (
    key: string,
    factory: () => unknown,
    { ttlMs: ttl, lockMs, waitMs }: Times,
  ): Promise<unknown> => {
    const lock = `${key}_lock`
    const token = randomUUID().replaceAll('-', '')
    const deadline = performance.now() + waitMs
    const release = async (): Promise<void> => {
      // a lock that cannot be released ends by itself
      await evaluate(RELEASE, [lock], token).catch(() => {})
    }
    for (;;) {
      const value = await peek(key)
      if (value !== undefined) return value
      try {
        if ((await redis.run('SET', lock, token, 'NX', 'PX', String(lockMs))) !== null) break
      } catch (error) {
        // it may have been set all the same, after the time was up
        await release()
        throw error
      }
      if (performance.now() >= deadline) throw new StoreBusyError(key, waitMs)
      await delay(LOCK_POLL_MS)
    }
    try {
      // somebody may have created it between the look and the lock
      const value = await peek(key)
      const bytes = value === undefined ? encodeValue(await factory()) : encodeValue(value)
      return valueOf(await evaluate(STORE_AND_RELEASE, [nameOf(key), lock], bytes, String(ttl), token))
    } catch (error) {
      await release()
      throw error
    }
  }

  const close = (): Promise<void> => redis.close()
  return {
    set: async (key, value, setOptions = {}) => {
      await redis.run('SET', nameOf(key), encodeValue(value), 'PX', String(ttlOf(setOptions, ttlMs)))
    },
    mset: async (values, setOptions = {}) => {
      const entries = Object.entries(values)
      const bytes = entries.map(([, value]) => encodeValue(value))
      const ttl = String(ttlOf(setOptions, ttlMs))
      if (entries.length > 0)
        await evaluate(
          SET_ALL,
          entries.map(([key]) => nameOf(key)),
          ttl,
          ...bytes,
        )
    },
    pop: async (key) => valueOf(await redis.run('GETDEL', nameOf(key))),
    mpop: async (keys) => {
      if (keys.length === 0) return []
      const found = await evaluate(POP_ALL, keys.map(nameOf))
      return Array.isArray(found) ? found.map(valueOf) : undefined
    },
    peek,
    peekOrCreate: async (key, factory, createOptions = {}) => {
      checkKey(key)
      const times = checkCreate(factory, createOptions, { ttlMs, lockMs: DEFAULT_LOCK_MS })
      return create(key, factory, times)
    },
    isDown: async () => {
      const key = `${namespace}is_down_${randomUUID()}`
      try {
        await redis.run('SET', key, encodeValue(true), 'PX', String(IS_DOWN_TTL_MS))
        if ((await redis.run('GETDEL', key)) === null) throw new StoreError('what was written was not there')
        return ''
      } catch (error) {
        return error instanceof Error ? error.message : String(error)
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

interface Times {
  readonly ttlMs: number
  readonly lockMs: number
  readonly waitMs: number
}

function valueOf(reply: unknown): unknown {
  return reply instanceof Uint8Array ? decodeValue(reply) : undefined
}
