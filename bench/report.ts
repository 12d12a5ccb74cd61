/** Medians of the runs, and how they compare with what is written by hand on the library below the toolkit. */
import type { Contender, Run } from './measure.ts'
import { type Case, titleOf } from './scenarios.ts'

export interface Result {
  readonly case: Case
  /** Of each contender that can do it. */
  readonly runs: Readonly<Record<string, readonly Run[]>>
}

/** What ratios are given to. */
const REFERENCE = 'cloudamqp'

type Figure = keyof Run

const COLUMNS: Readonly<Record<Case['scenario'], readonly Figure[]>> = {
  publish: ['cpuUs', 'perSecond', 'peakMib'],
  consume: ['cpuUs', 'perSecond', 'peakMib'],
  pipeline: ['cpuUs', 'perSecond', 'peakMib'],
  command: ['cpuUs', 'perSecond', 'p50Ms', 'p99Ms'],
  heavy: ['cpuUs', 'perSecond', 'peakMib'],
  log: ['cpuUs'],
  start: ['importMs', 'startMs'],
}

const HEADINGS: Readonly<Record<Figure, string>> = {
  cpuUs: 'CPU µs/message',
  perSecond: 'messages/s',
  peakMib: 'memory +MiB',
  p50Ms: 'p50 ms',
  p99Ms: 'p99 ms',
  importMs: 'import ms',
  startMs: 'start ms',
}

/** A table in Markdown: a line for each contender; behind each figure its ratio to the reference, as the median of the repetitions. */
export function tableOf(result: Result, contenders: readonly Contender[]): string {
  const columns = COLUMNS[result.case.scenario]
  const head = [titleOf(result.case) || 'contender', ...columns.map((column) => HEADINGS[column])]
  const rows = contenders.map(({ name }) => [name, ...columns.map((column) => cell(result, name, column))])
  const widths = head.map((title, n) => Math.max(title.length, ...rows.map((row) => row[n]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((text, n) => (n === 0 ? text.padEnd(widths[n] ?? 0) : text.padStart(widths[n] ?? 0))).join(' | ')} |`
  const rule = `|${widths.map((width, n) => (n === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

function cell({ runs }: Result, name: string, column: Figure): string {
  const own = figures(runs[name], column)
  if (own.length === 0) return '—'
  const reference = figures(runs[REFERENCE], column)
  const value = format(median(own))
  if (reference.length === 0 || column === 'peakMib') return value
  return `${value} (${(median(own) / median(reference)).toFixed(2)})`
}

function figures(runs: readonly Run[] = [], column: Figure): number[] {
  return runs.map((run) => run[column]).filter((figure) => figure !== undefined)
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

function format(figure: number): string {
  if (figure >= 1000) return Math.round(figure).toLocaleString('en')
  return figure.toFixed(figure >= 100 ? 0 : figure >= 10 ? 1 : 2)
}
