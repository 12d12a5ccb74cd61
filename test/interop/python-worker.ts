/** A worker of a service written in Python, on the bus of a test. */
import { Python } from '../bus/python.ts'

const SCRIPT = new URL('peers/worker.py', import.meta.url)

export interface PythonWorkerOptions {
  readonly service: string
  readonly events?: readonly string[]
  readonly commands?: readonly string[]
  readonly configurations?: readonly string[]
  readonly logs?: readonly string[]
  readonly format?: 'cbor' | 'json'
}

/** A message as a peer in Python saw it: its headers, and the properties that were set, in the names of pika. */
export interface Seen {
  readonly exchange: string
  readonly key: string
  readonly payload: unknown
  readonly redelivered: boolean
  readonly headers: Record<string, unknown> | null
  readonly properties: Record<string, unknown>
}

/** Starts a worker, and waits until it consumes. */
export async function startPythonWorker(url: string, options: PythonWorkerOptions): Promise<Python> {
  const worker = Python.start(SCRIPT, url, JSON.stringify(options))
  await worker.nextLine()
  return worker
}

/** The next message that it got. */
export async function seenBy(worker: Python): Promise<Seen> {
  for (;;) {
    const line = (await worker.next()) as unknown as Seen
    if (line.key !== undefined) return line
  }
}
