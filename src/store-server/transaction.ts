/** A transaction of one session: the keys that it watches, and the commands that wait for EXEC. */
import type { Command } from './commands.ts'
import type { Keyspace } from './keyspace.ts'
import { ReplyError } from './reply.ts'
import { MOST_COMMAND_BYTES, TEXT_OVERHEAD } from './resp-reader.ts'

export interface Queued {
  readonly command: Command
  readonly args: readonly Buffer[]
}

export class Transaction {
  /** Undefined before MULTI. */
  queue: Queued[] | undefined
  /** Whether a command was refused, so that none will be done. */
  isBroken = false
  readonly #watched: { readonly keys: Keyspace; readonly key: Buffer; readonly cancel: () => void }[] = []
  #hasChanged = false
  #size = 0

  /** @throws ReplyError when it holds too much */
  watch(keys: Keyspace, names: readonly Buffer[]): void {
    this.#take(names)
    for (const name of names) {
      const key = Buffer.from(name)
      const cancel = keys.watch(key, () => {
        this.#hasChanged = true
      })
      this.#watched.push({ keys, key, cancel })
    }
  }

  /** @throws ReplyError when it holds too much */
  add(queued: Queued): void {
    this.#take(queued.args)
    this.queue?.push(queued)
  }

  /** Whether a watched key is not what it was. */
  hasChanged(): boolean {
    // one that has expired shows when it is looked at
    for (const { keys, key } of this.#watched) keys.get(key)
    return this.#hasChanged
  }

  end(): void {
    for (const { cancel } of this.#watched) cancel()
  }

  #take(texts: readonly Buffer[]): void {
    for (const text of texts) this.#size += text.length + TEXT_OVERHEAD
    if (this.#size > MOST_COMMAND_BYTES)
      throw new ReplyError(`ERR a transaction may take ${MOST_COMMAND_BYTES} bytes in the development store`)
  }
}
