/** What a worker says while a test runs: its log records, and what the process writes to stderr. */
import type { LevelName, LogRecord } from 'eventail'
import { vi } from 'vitest'

/** Keeps log records: its `onLog` is given to a service. */
export class Records {
  readonly all: LogRecord[] = []
  readonly #watchers = new Set<(record: LogRecord) => void>()

  readonly onLog = (record: LogRecord): void => {
    this.all.push(record)
    for (const watch of this.#watchers) watch(record)
  }

  /** The lines of these levels, in order. */
  of(...levels: LevelName[]): string[] {
    return this.all.filter(({ level }) => levels.includes(level)).map(({ short }) => short)
  }

  /** Calls back at the first record from now on that says this. */
  once(text: RegExp, callback: () => void): void {
    const watch = (record: LogRecord): void => {
      if (!text.test(record.short)) return
      this.#watchers.delete(watch)
      callback()
    }
    this.#watchers.add(watch)
  }
}

/** Keeps what goes to stderr from the output of the tests: a worker tells there what the bus cannot take. */
export class CapturedStderr implements Disposable {
  text = ''
  readonly #spy = vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    this.text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8')
    return true
  })

  /** Its lines that contain this, in order. */
  lines(part: string): string[] {
    return this.text.split('\n').filter((line) => line.includes(part))
  }

  [Symbol.dispose](): void {
    this.#spy.mockRestore()
  }
}

/** A promise that is resolved from outside. */
export function gate<T = void>(): { readonly opened: Promise<T>; readonly open: (value: T) => void } {
  let open: (value: T) => void = () => {}
  const opened = new Promise<T>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

/** The outcome of a promise, as one word: `ok`, or the code of its error. */
export async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'ok',
    (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : String(error)),
  )
}
