/**
 * What the store does in one step where one command of Redis is not enough: the scripts that Redis runs, and beside each the same for
 * the development store, which runs no Lua. The two do the same with the same keys.
 */

/** What a script does with keys. Keys and values are bytes. */
export interface ScriptKeys {
  get(key: Buffer): Buffer | undefined
  /** @param ttlMs in digits, as a script is given it */
  set(key: Buffer, value: Buffer, ttlMs: Buffer): void
  delete(key: Buffer): boolean
}

/**
 * What a script does.
 * @param names what the script knows as KEYS
 * @param args what it knows as ARGV
 * @returns null for nil and false
 */
export type ScriptRun<Keys = ScriptKeys> = (
  keys: Keys,
  names: readonly Buffer[],
  args: readonly Buffer[],
) => Buffer | readonly Buffer[] | number | null

export interface Script {
  readonly lua: string
  readonly run: ScriptRun
}

const NONE = Buffer.alloc(0)

/** KEYS: the keys. ARGV: the time to live, and a value for each key. */
export const SET_ALL: Script = {
  lua: `for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1]) end`,
  run: (keys, names, [ttl = NONE, ...values]) => {
    for (const [index, name] of names.entries()) keys.set(name, values[index] ?? NONE, ttl)
    return null
  },
}

/** KEYS: the keys. */
export const POP_ALL: Script = {
  lua: `local values = redis.call('MGET', unpack(KEYS))
for _, value in ipairs(values) do if not value then return false end end
redis.call('DEL', unpack(KEYS))
return values`,
  run: (keys, names) => {
    const values = names.map((name) => keys.get(name)).filter((value) => value !== undefined)
    if (values.length < names.length) return null
    for (const name of names) keys.delete(name)
    return values
  },
}

/** KEYS: the lock. ARGV: its token. */
export const RELEASE: Script = {
  lua: `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`,
  run: (keys, [lock = NONE], [token = NONE]) => (keys.get(lock)?.equals(token) === true && keys.delete(lock) ? 1 : 0),
}

/** KEYS: the key, its lock. ARGV: the value, its time to live, the token of the lock. What is there already stays. */
export const STORE_AND_RELEASE: Script = {
  lua: `local value = redis.call('GET', KEYS[1])
if not value then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  value = ARGV[1]
end
if redis.call('GET', KEYS[2]) == ARGV[3] then redis.call('DEL', KEYS[2]) end
return value`,
  run: (keys, [name = NONE, lock = NONE], [given = NONE, ttl = NONE, token = NONE]) => {
    const value = keys.get(name)
    if (value === undefined) keys.set(name, given, ttl)
    if (keys.get(lock)?.equals(token) === true) keys.delete(lock)
    return value ?? given
  },
}
