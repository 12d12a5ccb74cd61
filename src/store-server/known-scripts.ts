/**
 * The scripts that the server knows, as it runs no Lua: those of the toolkit's stores, and those of redis-py's locks. All are told by the
 * SHA-1 of their text. redis-py sends the text only to a server that does not know it.
 */
import { createHash } from 'node:crypto'
import { POP_ALL, RELEASE, type ScriptKeys, type ScriptRun, SET_ALL, STORE_AND_RELEASE } from '../store/scripts.ts'
import { wholeNumber } from './numbers.ts'

/** What scripts may do with keys here. */
interface KnownScriptKeys extends ScriptKeys {
  ttlMs(key: Buffer): number | undefined
  expire(key: Buffer, ttlMs: number): boolean
}

type Run = ScriptRun<KnownScriptKeys>

const NONE = Buffer.alloc(0)

/** Gives the lock of a token another time to live. ARGV: the token, milliseconds. @returns 1, or 0 when the lock is not the token's */
const reacquire: Run = (keys, [lock = NONE], [token = NONE, ms = NONE]) =>
  keys.get(lock)?.equals(token) === true && keys.expire(lock, wholeNumber(ms)) ? 1 : 0

/** As `reacquire`, for a lock that ends by itself; with '0' behind them the milliseconds are added to what it has. */
const extend: Run = (keys, names, [token = NONE, ms = NONE, replaces = NONE]) => {
  const left = keys.ttlMs(names[0] ?? NONE) ?? Infinity
  if (left === Infinity) return 0
  const sum = wholeNumber(ms) + (replaces.toString('latin1') === '0' ? Math.round(left) : 0)
  return reacquire(keys, names, [token, Buffer.from(String(sum))])
}

const SCRIPTS: ReadonlyMap<string, Run> = new Map<string, Run>([
  ...[SET_ALL, POP_ALL, RELEASE, STORE_AND_RELEASE].map(({ lua, run }) => [sha1(lua), run] as const),
  ['c3f8721cbb97f72bc19e972846bd7aaf91901658', RELEASE.run],
  ['a4e8783852e6b949f9ef3a97212805108459a890', extend],
  ['1cac51482acf5858da00f6d685d68f886cd6b6b2', reacquire],
])

export function sha1(text: string | Buffer): string {
  return createHash('sha1').update(text).digest('hex')
}

export function knownScript(sha: string): Run | undefined {
  return SCRIPTS.get(sha.toLowerCase())
}
