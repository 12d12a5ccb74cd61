/** Whatever was thrown, as text for a log record. Never throws itself, however odd the thing is. */
import { inspect } from 'node:util'

export interface ErrorText {
  /** What it says, on what is mostly one line. */
  readonly summary: string
  /** The stack, and what caused it. */
  readonly full: string
}

export function describeError(error: unknown): ErrorText {
  try {
    if (!(error instanceof Error)) {
      const text = inspect(error)
      return { summary: text, full: text }
    }
    const cause = error.cause === undefined ? '' : `\ncaused by: ${inspect(error.cause)}`
    return { summary: error.message, full: `${error.stack ?? error.message}${cause}` }
  } catch {
    return { summary: 'something was thrown that cannot be shown', full: '' }
  }
}

/** The thing that was thrown, if it is an error, or an error that says what it is. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(describeError(thrown).summary)
}
