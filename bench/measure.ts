/** One run of one contender: started as a process of its own, and measured from outside between its `begin` and its `end`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Case } from './scenarios.ts'

export interface Contender {
  readonly name: string
  /** What is run; the task follows as the last argument. */
  readonly command: readonly [string, ...string[]]
}

/** The figures of a run. */
export interface Run {
  /** Of the contender, user and system, in microseconds a message. */
  readonly cpuUs: number
  readonly perSecond: number
  /** By how much its memory rose above what it had at the beginning, in MiB. */
  readonly peakMib: number
  readonly p50Ms?: number
  readonly p99Ms?: number
  readonly importMs?: number
  readonly startMs?: number
}

interface Sample {
  readonly at: number
  readonly cpuNs: number
}

const CANNOT = 64
const LINGER_MS = 100
const LATEST_MS = 120_000

/**
 * @returns undefined when it cannot do this scenario
 * @throws Error when it fails, with what it wrote to stderr
 */
export async function measure(contender: Contender, each: Case, url: string): Promise<Run | undefined> {
  const { name, command } = contender
  const { queues: _, ...rest } = each
  const [program, ...args] = command
  const child = spawn(program, [...args, JSON.stringify({ ...rest, url })], { stdio: ['pipe', 'pipe', 'pipe'] })
  const { pid = 0 } = child
  let stderr = ''
  child.stderr.on('data', (text: Buffer) => (stderr = (stderr + text.toString()).slice(-4_000)))
  const timer = setTimeout(() => child.kill('SIGKILL'), LATEST_MS)
  let begin: (Sample & { mib: number }) | undefined
  let end: (Sample & { peakMib: number; figures: Record<string, number> }) | undefined
  createInterface(child.stdout).on('line', (line) => {
    const [word, json] = [line.split(' ', 1)[0], line.slice(line.indexOf(' ') + 1)]
    if (word === 'begin') {
      begin = { ...sample(pid), mib: memory(pid, 'VmRSS') }
      // the peak is counted from here
      writeFileSync(`/proc/${pid}/clear_refs`, '5')
    } else if (word === 'end') {
      const figures = json === line ? {} : (JSON.parse(json) as Record<string, number>)
      end = { ...sample(pid), peakMib: memory(pid, 'VmHWM'), figures }
      // what it still acknowledges goes out first
      setTimeout(() => child.stdin.end(), LINGER_MS)
    }
  })
  const [code] = (await once(child, 'close')) as [number | null]
  clearTimeout(timer)
  if (code === CANNOT) return undefined
  if (code !== 0 || begin === undefined || end === undefined)
    throw new Error(
      `${name} failed at ${each.scenario} with ${code}, ${begin === undefined ? 'before it began' : end === undefined ? 'before its end' : 'after its end'}: ${stderr}`,
    )
  const { count = each.messages, p50, p99, importMs, startMs } = end.figures
  return {
    cpuUs: (end.cpuNs - begin.cpuNs) / 1000 / count,
    perSecond: count / ((end.at - begin.at) / 1000),
    peakMib: end.peakMib - begin.mib,
    ...(p50 === undefined ? {} : { p50Ms: p50 }),
    ...(p99 === undefined ? {} : { p99Ms: p99 }),
    ...(importMs === undefined ? {} : { importMs }),
    ...(startMs === undefined ? {} : { startMs }),
  }
}

/** The time that all threads have had on a core so far. */
export function sample(pid: number): Sample {
  const threads = readdirSync(`/proc/${pid}/task`)
  const times = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]),
  )
  return { at: performance.now(), cpuNs: times.reduce((sum, each) => sum + each, 0) }
}

/** What it has of it, in MiB. */
export function memory(pid: number, what: 'VmRSS' | 'VmHWM'): number {
  const kib = new RegExp(`${what}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
  return Number(kib) / 1024
}
