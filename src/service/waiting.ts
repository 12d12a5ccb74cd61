/** What a worker that waits says meanwhile, and how long it waits for its first broker. */
import type { Logger } from '../log/logger.ts'

/** After this an onStart hook that has not ended is told of. */
const SLOW_START_MS = 5_000
/** How often a worker that waits for its configuration says so. */
const REMINDER_MS = 60_000

/** Tells of an onStart hook that takes long. @returns to be called when it has ended */
export function remindOfStart(logger: Logger): () => void {
  const tell = setTimeout(() => {
    logger.write(
      'WARNING',
      'the onStart hook has not ended, and the service connects only then: what it publishes cannot be awaited in it',
    )
  }, SLOW_START_MS)
  return () => clearTimeout(tell)
}

/**
 * Says each minute that the configuration has not come.
 * @param session aborts when the session ends
 * @param isWaiting whether it is still so
 */
export function remindOfConfiguration(logger: Logger, session: AbortSignal, isWaiting: () => boolean): void {
  let minutes = 0
  const reminder = setInterval(() => {
    minutes += 1
    if (isWaiting())
      logger.write('NOTICE', `still waiting for the configuration, for ${minutes} min; nothing else is consumed`)
    else clearInterval(reminder)
  }, REMINDER_MS)
  session.addEventListener('abort', () => clearInterval(reminder), { once: true })
}

/** Calls back when the time for the start is over. @returns ends it */
export function limitStart(ms: number, onOver: () => void): () => void {
  if (ms === Infinity) return () => {}
  const timer = setTimeout(onOver, ms)
  return () => clearTimeout(timer)
}
