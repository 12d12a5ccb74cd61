/**
 * One client: reads its commands, answers them in order, and holds its transaction. It is read no further while it does not take its
 * answers. What goes wrong with it ends this connection alone.
 */
import type { Socket } from 'node:net'
import { type Caller, checkCount, type Command, commandFor, OUT_OF_MEMORY } from './commands.ts'
import type { Databases } from './databases.ts'
import type { Keyspace } from './keyspace.ts'
import { type Protocol, type Reply, ReplyError, writeReply } from './reply.ts'
import { RespReader } from './resp-reader.ts'
import { Transaction } from './transaction.ts'

type OwnCommand = Omit<Command, 'grows'>

export class Session implements Caller {
  keys: Keyspace
  isFull = false
  protocol: Protocol = 2
  readonly #socket: Socket
  readonly #databases: Databases
  readonly #reader = new RespReader()
  /** The commands that are not put off to EXEC. */
  readonly #own: ReadonlyMap<string, OwnCommand> = new Map<string, OwnCommand>([
    ['MULTI', { least: 0, most: 0, run: () => this.#multi() }],
    ['EXEC', { least: 0, most: 0, run: () => this.#exec() }],
    ['DISCARD', { least: 0, most: 0, run: () => this.#discard() }],
    ['WATCH', { least: 1, most: Infinity, run: (_caller, keys) => this.#watch(keys) }],
    ['QUIT', { least: 0, most: Infinity, run: () => this.#quit() }],
  ])
  #transaction = new Transaction()
  #isOver = false

  constructor(socket: Socket, databases: Databases) {
    this.#socket = socket
    this.#databases = databases
    this.keys = databases.at(0)
    socket.setNoDelay(true)
    socket.on('data', (chunk) => {
      this.#reader.push(chunk)
      this.#work()
    })
    socket.on('drain', () => this.#work())
    // what went wrong with a socket, its close follows
    socket.on('error', () => {})
    socket.on('close', () => this.#transaction.end())
  }

  select(index: number): void {
    this.keys = this.#databases.at(index)
  }

  /** As it is at the end of each transaction. */
  unwatch(): void {
    this.#transaction.end()
    this.#transaction = new Transaction()
  }

  #work(): void {
    this.#socket.cork()
    try {
      while (!this.#isOver && !this.#socket.writableNeedDrain) {
        const [name, ...args] = this.#reader.next() ?? []
        if (name === undefined) break
        this.#write(this.#answer(name, args))
      }
    } catch (error) {
      this.#write(refusal(error))
      this.#isOver = true
    }
    this.#socket.uncork()
    if (this.#isOver) this.#socket.destroySoon()
    else if (this.#socket.writableNeedDrain) this.#socket.pause()
    else this.#socket.resume()
  }

  #write(reply: Reply): void {
    writeReply(reply, this.protocol, (part) => this.#socket.write(part))
  }

  #answer(name: Buffer, args: readonly Buffer[]): Reply {
    this.isFull = this.#databases.isFull
    const own = this.#own.get(name.toString('latin1').toUpperCase())
    try {
      if (own !== undefined) {
        checkCount(name, args.length, own)
        return own.run(this, args)
      }
      const command = commandFor(name, args)
      const { queue } = this.#transaction
      if (this.isFull && (command.grows || queue !== undefined)) throw new ReplyError(OUT_OF_MEMORY)
      if (queue === undefined) return command.run(this, args)
      this.#transaction.add({ command, args })
      return 'QUEUED'
    } catch (error) {
      const refused = refusal(error)
      if (own === undefined) this.#transaction.isBroken = true
      return refused
    }
  }

  #multi(): Reply {
    if (this.#transaction.queue !== undefined) throw new ReplyError('ERR MULTI calls can not be nested')
    this.#transaction.queue = []
    this.#transaction.isBroken = false
    return 'OK'
  }

  #watch(keys: readonly Buffer[]): Reply {
    if (this.#transaction.queue !== undefined) throw new ReplyError('ERR WATCH inside MULTI is not allowed')
    this.#transaction.watch(this.keys, keys)
    return 'OK'
  }

  #discard(): Reply {
    if (this.#transaction.queue === undefined) throw new ReplyError('ERR DISCARD without MULTI')
    this.unwatch()
    return 'OK'
  }

  #exec(): Reply {
    const { queue, isBroken } = this.#transaction
    if (queue === undefined) throw new ReplyError('ERR EXEC without MULTI')
    const hasChanged = this.#transaction.hasChanged()
    this.unwatch()
    if (this.isFull && queue.some(({ command }) => command.grows))
      throw new ReplyError(`EXECABORT Transaction discarded because of: ${OUT_OF_MEMORY}`)
    if (isBroken) throw new ReplyError('EXECABORT Transaction discarded because of previous errors.')
    if (hasChanged) return undefined
    return queue.map(({ command, args }) => {
      try {
        return command.run(this, args)
      } catch (error) {
        return refusal(error)
      }
    })
  }

  #quit(): Reply {
    this.#isOver = true
    return 'OK'
  }
}

/** @throws what is no refusal but a fault of ours */
function refusal(error: unknown): ReplyError {
  if (error instanceof ReplyError) return error
  throw error
}
