/** The workers on a bus of tests, as their health observer sees them, and what each has still to do, in words. */
import type { MessageInHand, QueueInUse, Work } from '../service/in-hand.ts'
import type { HealthObserver, ObservedWorker, WorkerEvents } from '../service/observer.ts'
import { visible } from '../wire/text.ts'

/** Why the bus is not at rest. */
export interface Busy {
  /** Whether it is only something of the users' that goes on, and may be waiting for a timer. */
  readonly runsOn: boolean
  readonly text: string
}

export class Workers {
  /** Grows whenever anything happens. */
  activity = 0
  readonly #workers = new Set<ObservedWorker>()

  /** An observer for one worker, that tells another as well. */
  observer(other: HealthObserver | undefined): HealthObserver {
    return { watch: (worker) => this.#watch(worker, other?.watch(worker)) }
  }

  #watch(worker: ObservedWorker, others: WorkerEvents | undefined): WorkerEvents {
    this.#workers.add(worker)
    return {
      settled: (outcome, queue, handler) => {
        this.activity += 1
        others?.settled?.(outcome, queue, handler)
      },
      ran: (handler, ms) => {
        this.activity += 1
        others?.ran?.(handler, ms)
      },
      stopped: () => {
        this.#workers.delete(worker)
        this.activity += 1
        others?.stopped?.()
      },
    }
  }

  /** Publishes that have an outcome. */
  get published(): number {
    let sum = 0
    for (const worker of this.#workers) {
      const { confirmedPublishes, failedPublishes } = worker.figures()
      for (const count of [confirmedPublishes, ...failedPublishes.values()]) sum += count
    }
    return sum
  }

  /** What they do, as far as they know. */
  busy(): readonly Busy[] {
    return [...this.#workers].flatMap((worker) => {
      const name = visible(worker.service)
      return busyOf(worker).map(({ runsOn, text }) => ({ runsOn, text: `${name}: ${text}` }))
    })
  }

  /** What waits in their queues, and will be delivered to them. What had been delivered before has arrived after this. */
  async busyQueues(): Promise<readonly Busy[]> {
    const looks = await Promise.all([...this.#workers].map(look))
    const queues = new Map<string, Look>()
    for (const one of looks.flat()) {
      const other = queues.get(one.name)
      // it is enough that one of the workers takes them
      queues.set(
        one.name,
        other === undefined || one.why === '' ? one : { ...other, isStuck: other.isStuck && one.isStuck },
      )
    }
    return [...queues.values()]
      .filter(({ ready, isStuck }) => ready > 0 && !isStuck)
      .map(({ name, ready, why }) => ({
        runsOn: false,
        text: `${visible(name)}: ${ready === 1 ? 'a message waits' : `${ready} messages wait`}${why}`,
      }))
  }
}

interface Look {
  readonly name: string
  readonly ready: number
  /** Whether nothing is taken from the queue before time has passed: all that the worker may have in hand waits, too. */
  readonly isStuck: boolean
  readonly why: string
}

async function look(worker: ObservedWorker): Promise<readonly Look[]> {
  let queues: readonly QueueInUse[]
  try {
    queues = await worker.queues()
  } catch (error) {
    const why = `, or may: the queue could not be looked at: ${error instanceof Error ? error.message : String(error)}`
    return [{ name: worker.service, ready: 1, isStuck: false, why }]
  }
  const work = worker.work()
  return queues.map(({ kind, name, ready, isConsumed, isFull }) => {
    const inHand = work.messages.filter(({ queue }) => queue === kind)
    return {
      name,
      ready,
      isStuck: isFull && inHand.every((message) => isWaiting(message, work)),
      why: isConsumed ? '' : `, and ${worker.service} does not consume: it waits for its configuration`,
    }
  })
}

function busyOf(worker: ObservedWorker): readonly Busy[] {
  const { state, problems } = worker.health()
  const work = worker.work()
  const { messages, calls, pendingPublishes, refusedPublishes } = work
  const unconfirmed = pendingPublishes - refusedPublishes
  const busy = [
    // as far as anybody knows, they wait for what they have published
    ...(areRefused(work) ? [] : calls.map((call) => ({ runsOn: true, text: `${call} is still running` }))),
    ...messages.filter((message) => !isWaiting(message, work)).map(busyWith),
  ]
  if (unconfirmed > 0) busy.push({ runsOn: false, text: `publishes that are not confirmed: ${unconfirmed}` })
  if (state !== 'unconfigured') busy.push(...problems.map((text) => ({ runsOn: false, text })))
  return busy
}

/** Whether nothing becomes of a message before time passes. */
function isWaiting({ state, unconfirmed }: MessageInHand, work: Work): boolean {
  return state === 'waiting' || (unconfirmed > 0 && areRefused(work))
}

/** Whether all that is not confirmed was refused by the broker: that is sent again by the clock. */
function areRefused({ pendingPublishes, refusedPublishes }: Work): boolean {
  return refusedPublishes > 0 && pendingPublishes === refusedPublishes
}

function busyWith({ state, routingKey, conversationId, correlationId, messageId, runningMs = 0 }: MessageInHand): Busy {
  const ids = Object.entries({ message: messageId, conversation: conversationId, correlation: correlationId })
  const shown = ids
    .flatMap(([name, id]) => (id === undefined || id === '' ? [] : [`${name} ${visible(id)}`]))
    .join(', ')
  const what = {
    arrived: 'was delivered, and its handler was not called yet',
    running: `its handler has been running for ${Math.round(runningMs)} ms`,
    held: 'its handler left it to be settled later, and nobody has',
    confirming: 'its handler has ended, and the message is not settled yet',
    waiting: 'waits',
  }[state]
  return { runsOn: state === 'running' || state === 'held', text: `'${visible(routingKey)}' ${what} (${shown})` }
}
