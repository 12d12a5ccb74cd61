/**
 * What all contenders share: what they are asked for, and how they say how far they are.
 *
 * A contender is a program that is given one JSON object, {@link Task}, as its last argument. It writes `begin` to stdout, on a line of
 * its own, when it has warmed up, and `end` when it has done the rest; when its stdin ends, so does it. What it says behind `end`, a JSON
 * object of numbers, is reported with what is measured from outside. Status 64 says that it cannot do this scenario.
 */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * @typedef {object} Task
 * @property {'publish' | 'consume' | 'pipeline' | 'command' | 'heavy' | 'log' | 'start'} scenario
 * @property {string} url of the broker, with the virtual host
 * @property {number} messages that are measured
 * @property {number} warmup messages before those
 * @property {number} prefetch
 * @property {number} size of a payload in bytes, about
 * @property {number} outstanding publishes or calls that are on their way at the same time
 * @property {number} seconds for how long `command` is measured
 */

/** @type {Task} */
export const task = JSON.parse(process.argv[2] ?? '{}')

/** @param {'begin' | 'end'} word @param {Record<string, number>} [figures] */
export function say(word, figures) {
  process.stdout.write(figures === undefined ? `${word}\n` : `${word} ${JSON.stringify(figures)}\n`)
}

/** Counts what is done, and says so. */
export class Progress {
  #count = 0
  /** @type {() => void} */
  #finish = () => {}
  /** @type {Promise<void>} */
  finished = new Promise((resolve) => {
    this.#finish = resolve
  })

  done() {
    this.#count += 1
    if (this.#count === task.warmup) say('begin')
    else if (this.#count === task.warmup + task.messages) {
      say('end')
      this.#finish()
    }
  }
}

/** Publishes all messages, as many at a time as may be outstanding. @param {() => Promise<unknown>} publish */
export async function publishAll(publish) {
  const progress = new Progress()
  let left = task.warmup + task.messages
  const worker = async () => {
    while (left > 0) {
      left -= 1
      await publish()
      progress.done()
    }
  }
  await Promise.all(Array.from({ length: task.outstanding }, worker))
}

/** Calls for as long as was asked for, as many at a time as may be outstanding. @param {() => Promise<unknown>} call */
export async function callForAWhile(call) {
  /** @type {number[]} */
  const times = []
  let isMeasured = false
  const over = performance.now() + task.seconds * 1500
  const worker = async () => {
    while (performance.now() < over) {
      const began = performance.now()
      await call()
      if (isMeasured) times.push(performance.now() - began)
    }
  }
  const workers = Array.from({ length: task.outstanding }, worker)
  await delay(task.seconds * 500)
  isMeasured = true
  say('begin')
  await delay(task.seconds * 1000)
  times.sort((a, b) => a - b)
  const at = (/** @type {number} */ share) => times[Math.floor(times.length * share)] ?? 0
  say('end', { count: times.length, p50: at(0.5), p99: at(0.99) })
  await Promise.all(workers)
}

/**
 * Writes all log records, some in each turn of the event loop, as a busy program does.
 *
 * @param {() => unknown} write @param {() => Promise<unknown>} flush resolves when all have left
 */
export async function logAll(write, flush) {
  for (let n = 0; n < task.warmup + task.messages; n++) {
    if (n === task.warmup) say('begin')
    await write()
    if (n % 100 === 99) await delay(1)
  }
  await flush()
  say('end')
}

/** Acknowledges what is done once per turn of the event loop, all up to a number where nothing before it is open. */
export class AcksPerTurn {
  /** @type {Map<number, boolean>} */
  #open = new Map()
  #isScheduled = false
  /** @type {(tag: number, multiple: boolean) => unknown} */
  #ack

  /** @param {(tag: number, multiple: boolean) => unknown} ack */
  constructor(ack) {
    this.#ack = ack
  }

  /** @param {number} tag */
  delivered(tag) {
    this.#open.set(tag, false)
  }

  /** @param {number} tag */
  done(tag) {
    this.#open.set(tag, true)
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.#flush())
  }

  #flush() {
    this.#isScheduled = false
    let last = 0
    for (const [tag, isDone] of this.#open) {
      if (!isDone) break
      last = tag
      this.#open.delete(tag)
    }
    if (last > 0) this.#ack(last, true)
    for (const [tag, isDone] of this.#open) {
      if (!isDone) continue
      this.#open.delete(tag)
      this.#ack(tag, false)
    }
  }
}

/** Resolves when whoever measures has what it needs. */
export async function released() {
  process.stdin.resume()
  await once(process.stdin, 'end')
}

/** Ends the program as one that cannot do the scenario. */
export function cannot() {
  process.exit(64)
}
