/** Running a worker as a program: signals, unexpected errors, exit codes. The only place that touches the process. */
import { ConnectionError, InvalidSettingError, TopologyError } from '../errors.ts'
import { describeError } from '../log/describe-error.ts'
import type { Worker } from './worker.ts'

const SIGNALS = ['SIGHUP', 'SIGTERM', 'SIGINT'] as const

/** What a shell expects of a program that was interrupted. */
const EXIT_INTERRUPTED = 130
/** EX_CONFIG of sysexits.h: trying again does not help. */
const EXIT_CONFIG = 78
/** EX_UNAVAILABLE: no broker could be reached in the time that was given. */
const EXIT_UNAVAILABLE = 69
/** A handler that did not end in its drain time may keep the process alive for ever. */
const ABANDONED_EXIT_MS = 1_000

/** Whoever closes what is his behind `run` has done so by then, mostly. */
const LINGERING_MS = 1_000
/** After a failure nothing is consumed, and who starts the program again waits for its end. */
const FAILED_EXIT_MS = 5_000
/** What keeps a process alive, by Node's names, as a person knows it. Standard streams are none of it. */
const OPEN: readonly (readonly [name: string, words: string])[] = [
  ['TCPSocketWrap', 'connections'],
  ['TCPServerWrap', 'servers'],
  ['Timeout', 'timers'],
  ['MessagePort', 'worker threads'],
  ['ProcessWrap', 'child processes'],
]

/** Services of this process that run. */
let running = 0

export async function runUntilStopped(service: string, createWorker: () => Worker): Promise<void> {
  let worker: Worker
  try {
    worker = createWorker()
  } catch (error) {
    if (!(error instanceof InvalidSettingError)) throw error
    process.stderr.write(`${service}: ${error.message}\n`)
    process.exitCode = EXIT_CONFIG
    return
  }
  running += 1
  let signals = 0
  const onSignal = (): void => {
    signals += 1
    if (signals > 1) process.exit(EXIT_INTERRUPTED)
    void worker.stop()
  }
  const onUnexpected = (error: unknown): void => {
    worker.fail(
      error,
      `unexpected error outside of any handler, and the service stops: ${describeError(error).summary}`,
    )
  }
  // whoever read our records may go away: that is no reason to stop
  process.stderr.on('error', () => {})
  for (const signal of SIGNALS) process.on(signal, onSignal)
  process.on('uncaughtException', onUnexpected)
  process.on('unhandledRejection', onUnexpected)
  try {
    await worker.stopped
  } finally {
    running -= 1
    for (const signal of SIGNALS) process.off(signal, onSignal)
    process.off('uncaughtException', onUnexpected)
    process.off('unhandledRejection', onUnexpected)
  }
  if (worker.hasAbandoned) setTimeout(() => process.exit(), ABANDONED_EXIT_MS).unref()
  else setTimeout(() => tellOfLingering(service), LINGERING_MS).unref()
  if (worker.failure === undefined) return
  process.exitCode = exitCodeOf(worker.failure)
  setTimeout(() => running === 0 && process.exit(), FAILED_EXIT_MS).unref()
}

/** A program that does not end after its service has is not started again by whoever watches it, and nothing says why. */
function tellOfLingering(service: string): void {
  if (running > 0) return
  const kept = process.getActiveResourcesInfo()
  const open = OPEN.filter(([name]) => kept.includes(name)).map(([, words]) => words)
  const what = open.length === 0 ? '' : ` (${open.join(', ')})`
  process.stderr.write(
    `${service}: has stopped, but its program goes on, because something in it is still open${what}: close it behind run(), a store with close()\n`,
  )
}

function exitCodeOf(failure: Error): number {
  if (failure instanceof TopologyError) return EXIT_CONFIG
  return failure instanceof ConnectionError ? EXIT_UNAVAILABLE : 1
}
