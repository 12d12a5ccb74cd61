/** The numbers of the pipeline, and `once` for them. */
import { createTempStore } from 'eventail/store'

/** The number of an event. @param {import('eventail').EventContext} context */
export const seqOf = ({ payload }) => String(/** @type {{ seq: number }} */ (payload).seq)

/**
 * The options of a handler that does its work once per number, and the store to close in the end; without a store none.
 *
 * @param {import('../pipeline.ts').ProgramOptions['redis']} redis
 */
export function oncePerNumber(redis) {
  const store = redis && createTempStore(redis)
  // of a process that was killed the others need not wait long
  return { store, options: store === undefined ? {} : { once: { store, key: seqOf, lockMs: 3_000 } } }
}
