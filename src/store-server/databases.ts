/** The databases of a server, and how much they may take together. */
import { type Cancel, type Clock } from '../time/clock.ts'
import { Keyspace, type Usage } from './keyspace.ts'
import { ReplyError } from './reply.ts'

/** As many as Redis has unless it is told otherwise. */
const COUNT = 16
/** How often those are removed that have expired and that nobody asks for. */
const SWEEP_MS = 10_000

export class Databases {
  readonly #usage: Usage = { used: 0 }
  readonly #all: readonly Keyspace[]
  readonly #limitBytes: number
  readonly #cancelSweep: Cancel

  constructor(clock: Clock, limitBytes: number) {
    this.#limitBytes = limitBytes
    this.#all = Array.from({ length: COUNT }, () => new Keyspace(clock, this.#usage))
    this.#cancelSweep = clock.every(SWEEP_MS, () => {
      for (const keys of this.#all) keys.sweep()
    })
  }

  get isFull(): boolean {
    return this.#usage.used > this.#limitBytes
  }

  /** @throws ReplyError when there is no such database */
  at(index: number): Keyspace {
    const keys = this.#all[index]
    if (keys === undefined) throw new ReplyError('ERR DB index is out of range')
    return keys
  }

  close(): void {
    this.#cancelSweep()
  }
}
