/**
 * The commands of the server: what the toolkit's stores, the Python toolkit's and redis-py's locks need. Each answers as Redis does; for
 * all others there is a clear error. Source: the command reference of Redis.
 */
import { visible } from '../wire/text.ts'
import type { Keyspace } from './keyspace.ts'
import { knownScript, sha1 } from './known-scripts.ts'
import { durationMs, lifetimeMs, wholeNumber } from './numbers.ts'
import { type Protocol, type Reply, ReplyError } from './reply.ts'

/** Whoever sends a command. */
export interface Caller {
  /** Of the database that it has selected. */
  readonly keys: Keyspace
  /** Whether there was no memory left when the command began. */
  readonly isFull: boolean
  protocol: Protocol
  /** @throws ReplyError when there is no such database */
  select(index: number): void
  /** Forgets which keys were watched. */
  unwatch(): void
}

export interface Command {
  /** Whether it takes memory, and is refused when there is none left. */
  readonly grows: boolean
  /** How many arguments it has, at least and at most. */
  readonly least: number
  readonly most: number
  run(caller: Caller, args: readonly Buffer[]): Reply
}

export const OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'."
const OK = 'OK'
const NONE = Buffer.alloc(0)
/** The Redis whose answers these are. */
const REDIS_VERSION = '7.0.15'

function command(least: number, most: number, run: Command['run'], { grows = false } = {}): Command {
  return { grows, least, most, run }
}

function setFor(unitMs: number, name: string): Command {
  return command(
    3,
    3,
    ({ keys }, [key = NONE, ttl = NONE, value = NONE]) => {
      keys.set(key, value, lifetimeMs(ttl, unitMs, name))
      return OK
    },
    { grows: true },
  )
}

function expireIn(unitMs: number, name: string): Command {
  return command(2, 2, ({ keys }, [key = NONE, ttl = NONE]) => Number(keys.expire(key, durationMs(ttl, unitMs, name))))
}

function ttlIn(unitMs: number): Command {
  return command(1, 1, ({ keys }, [key = NONE]) => {
    const ms = keys.ttlMs(key)
    if (ms === undefined) return -2
    return ms === Infinity ? -1 : Math.round(ms / unitMs)
  })
}

/** By name, in capitals. Those of transactions are the session's. */
export const COMMANDS: ReadonlyMap<string, Command> = new Map([
  ['PING', command(0, 1, (_caller, [text]) => text ?? 'PONG')],
  ['ECHO', command(1, 1, (_caller, [text]) => text)],
  ['SELECT', command(1, 1, selectDatabase)],
  ['UNWATCH', command(0, 0, unwatch)],
  ['HELLO', command(0, Infinity, hello)],
  ['CLIENT', command(1, Infinity, client)],
  ['GET', command(1, 1, ({ keys }, [key = NONE]) => keys.get(key) ?? null)],
  ['MGET', command(1, Infinity, ({ keys }, names) => names.map((key) => keys.get(key) ?? null))],
  ['GETDEL', command(1, 1, getAndDelete)],
  ['SET', command(2, Infinity, set, { grows: true })],
  ['SETEX', setFor(1_000, 'setex')],
  ['PSETEX', setFor(1, 'psetex')],
  ['MSET', command(2, Infinity, setSeveral, { grows: true })],
  ['DEL', command(1, Infinity, ({ keys }, names) => names.filter((key) => keys.delete(key)).length)],
  ['EXISTS', command(1, Infinity, ({ keys }, names) => names.filter((key) => keys.get(key) !== undefined).length)],
  ['EXPIRE', expireIn(1_000, 'expire')],
  ['PEXPIRE', expireIn(1, 'pexpire')],
  ['TTL', ttlIn(1_000)],
  ['PTTL', ttlIn(1)],
  ['EVAL', command(2, Infinity, (caller, [lua = NONE, ...args]) => runScript(caller, sha1(lua), UNKNOWN_SCRIPT, args))],
  [
    'EVALSHA',
    command(2, Infinity, (caller, [sha = NONE, ...args]) => runScript(caller, sha.toString('latin1'), NO_SCRIPT, args)),
  ],
  ['SCRIPT', command(1, Infinity, script)],
])

const NO_SCRIPT = 'NOSCRIPT No matching script. Please use EVAL.'
const UNKNOWN_SCRIPT =
  "ERR the development store runs no Lua: it knows the scripts of eventail's stores and of redis-py's locks. For others run Redis"

/** @throws ReplyError for a command that the server does not have, or that has not the arguments that it needs */
export function commandFor(name: Buffer, args: readonly Buffer[]): Command {
  const known = COMMANDS.get(name.toString('latin1').toUpperCase())
  if (known === undefined) throw unknown(`command ${shown(name)}`)
  checkCount(name, args.length, known)
  return known
}

/** @throws ReplyError */
export function checkCount(name: Buffer, count: number, { least, most }: { least: number; most: number }): void {
  if (count < least || count > most)
    throw new ReplyError(`ERR wrong number of arguments for ${shown(name).toLowerCase()} command`)
}

function unknown(what: string): ReplyError {
  return new ReplyError(
    `ERR unknown ${what}: the development store has only what eventail's stores need. For the others run Redis`,
  )
}

function shown(text: Buffer): string {
  return `'${visible(text.toString('utf8', 0, 64))}'`
}

function selectDatabase(caller: Caller, [index = NONE]: readonly Buffer[]): Reply {
  caller.select(wholeNumber(index))
  return OK
}

function unwatch(caller: Caller): Reply {
  caller.unwatch()
  return OK
}

function hello(caller: Caller, [version, ...options]: readonly Buffer[]): Reply {
  const protocol = version === undefined ? caller.protocol : wholeNumber(version)
  if (protocol !== 2 && protocol !== 3) throw new ReplyError('NOPROTO unsupported protocol version')
  const [name = NONE] = options
  if (options.length > 0 && (options.length !== 2 || name.toString('latin1').toUpperCase() !== 'SETNAME'))
    throw unknown(`option ${shown(name)} of HELLO`)
  caller.protocol = protocol
  return new Map<string, Reply>([
    ['server', Buffer.from('redis')],
    ['version', Buffer.from(REDIS_VERSION)],
    ['proto', protocol],
    ['mode', Buffer.from('standalone')],
    ['role', Buffer.from('master')],
    ['modules', []],
  ])
}

/** What clients say of themselves is of no use here. */
function client(_caller: Caller, [what = NONE]: readonly Buffer[]): Reply {
  if (['SETNAME', 'SETINFO'].includes(what.toString('latin1').toUpperCase())) return OK
  throw unknown(`subcommand ${shown(what)} of CLIENT`)
}

function getAndDelete({ keys }: Caller, [key = NONE]: readonly Buffer[]): Reply {
  const value = keys.get(key)
  keys.delete(key)
  return value ?? null
}

function set({ keys }: Caller, [key = NONE, value = NONE, ...options]: readonly Buffer[]): Reply {
  let ttlMs: number | undefined
  let condition = ''
  for (let at = 0; at < options.length; at += 1) {
    const option = (options[at] ?? NONE).toString('latin1').toUpperCase()
    const next = options[at + 1]
    if ((option === 'NX' || option === 'XX') && (condition === '' || condition === option)) condition = option
    else if ((option === 'EX' || option === 'PX') && ttlMs === undefined && next !== undefined) {
      ttlMs = lifetimeMs(next, option === 'EX' ? 1_000 : 1, 'set')
      at += 1
    } else throw new ReplyError('ERR syntax error; of the options of SET the development store has NX, XX, EX and PX')
  }
  if (condition !== '' && (keys.get(key) === undefined) !== (condition === 'NX')) return null
  keys.set(key, value, ttlMs)
  return OK
}

function setSeveral({ keys }: Caller, args: readonly Buffer[]): Reply {
  if (args.length % 2 === 1) throw new ReplyError("ERR wrong number of arguments for 'mset' command")
  for (let at = 0; at < args.length; at += 2) keys.set(args[at] ?? NONE, args[at + 1] ?? NONE)
  return OK
}

function runScript({ keys, isFull }: Caller, sha: string, otherwise: string, args: readonly Buffer[]): Reply {
  const count = wholeNumber(args[0] ?? NONE)
  if (count > args.length - 1) throw new ReplyError("ERR Number of keys can't be greater than number of args")
  if (count < 0) throw new ReplyError("ERR Number of keys can't be negative")
  const run = knownScript(sha)
  if (run === undefined) throw new ReplyError(otherwise)
  const scriptKeys = {
    get: (key: Buffer) => keys.get(key),
    delete: (key: Buffer) => keys.delete(key),
    ttlMs: (key: Buffer) => keys.ttlMs(key),
    expire: (key: Buffer, ttlMs: number) => keys.expire(key, ttlMs),
    set: (key: Buffer, value: Buffer, ttlMs: Buffer) => {
      if (isFull) throw new ReplyError(OUT_OF_MEMORY)
      keys.set(key, value, lifetimeMs(ttlMs, 1, 'set'))
    },
  }
  return run(scriptKeys, args.slice(1, count + 1), args.slice(count + 1))
}

function script(_caller: Caller, [what = NONE, ...args]: readonly Buffer[]): Reply {
  const subcommand = what.toString('latin1').toUpperCase()
  if (subcommand === 'EXISTS') return args.map((sha) => (knownScript(sha.toString('latin1')) === undefined ? 0 : 1))
  if (subcommand !== 'LOAD') throw unknown(`subcommand ${shown(what)} of SCRIPT`)
  const sha = sha1(args[0] ?? NONE)
  if (knownScript(sha) === undefined) throw new ReplyError(UNKNOWN_SCRIPT)
  return Buffer.from(sha)
}
