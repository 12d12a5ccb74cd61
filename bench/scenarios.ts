/** What is measured: the scenarios, and the cases of each (payload, prefetch, kind of queue). */

export type Scenario = 'publish' | 'consume' | 'pipeline' | 'command' | 'heavy' | 'log' | 'start'

/** One line of the table. */
export interface Case {
  readonly scenario: Scenario
  /** Of a payload, in bytes. */
  readonly size: number
  readonly prefetch: number
  readonly outstanding: number
  readonly queues: 'classic' | 'quorum'
  /** That are measured, and before those. */
  readonly messages: number
  readonly warmup: number
  /** For how long `command` is measured. */
  readonly seconds: number
}

export const SCENARIOS: Readonly<Record<Scenario, string>> = {
  publish: 'S1 publish with confirms',
  consume: 'S2 consume and acknowledge',
  pipeline: 'S3 pipeline: event, handler publishes an event, confirm, acknowledge',
  command: 'S4 command and result',
  heavy: 'S5 heavy payload: published, confirmed, consumed',
  log: 'S6 log records',
  start: 'start: from nothing to consuming',
}

const SMALL = 200
const LARGE = 10_000
const HEAVY = 5_000_000

/** What the others differ from. */
export const BASE: Case = {
  scenario: 'pipeline',
  size: SMALL,
  prefetch: 50,
  outstanding: 200,
  queues: 'classic',
  messages: 20_000,
  warmup: 10_000,
  seconds: 3,
}

/** Each dimension by itself; with `full`, all combinations of payload, prefetch and queue. */
export function casesOf(isFull: boolean, messages = BASE.messages): Case[] {
  const flows = isFull ? allFlows() : someFlows()
  const publishes = flows.filter(({ prefetch }) => prefetch === BASE.prefetch)
  const cases: Case[] = [
    ...as('publish', publishes),
    ...as('consume', flows),
    ...as('pipeline', flows),
    // so few a second that a program takes a while to be compiled
    { ...BASE, scenario: 'command', outstanding: 1, seconds: 5 },
    { ...BASE, scenario: 'command', outstanding: 100 },
    { ...BASE, scenario: 'heavy', size: HEAVY, prefetch: 1, outstanding: 1, messages: 60, warmup: 20 },
    { ...BASE, scenario: 'log', outstanding: 1 },
    { ...BASE, scenario: 'start', messages: 1, warmup: 0, outstanding: 1 },
  ]
  return cases.map((each) =>
    each.messages === BASE.messages ? Object.assign(each, { messages, warmup: Math.round(messages / 2) }) : each,
  )
}

function someFlows(): Case[] {
  return [
    BASE,
    { ...BASE, prefetch: 3 },
    { ...BASE, prefetch: 500 },
    { ...BASE, size: LARGE },
    { ...BASE, queues: 'quorum' },
  ]
}

function allFlows(): Case[] {
  const cases: Case[] = []
  for (const size of [SMALL, LARGE])
    for (const prefetch of [3, 50, 500])
      for (const queues of ['classic', 'quorum'] as const) cases.push({ ...BASE, size, prefetch, queues })
  return cases
}

function as(scenario: Scenario, cases: readonly Case[]): Case[] {
  return cases.map((each) => Object.assign({}, each, { scenario }))
}

/** @throws Error unless the option is a whole number above zero */
export function countOf(option: string, text: string): number {
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < 1)
    throw new Error(`--${option} must be a whole number above 0, not '${text}'`)
  return count
}

/** The same with so few messages that it shows only whether it works. */
export function quickened(each: Case): Case {
  const isHeavy = each.scenario === 'heavy'
  return { ...each, messages: isHeavy ? 3 : 500, warmup: isHeavy ? 1 : 100, seconds: 0.2 }
}

/** The case in a few words. */
export function titleOf({ scenario, size, prefetch, outstanding, queues }: Case): string {
  const bytes = size >= 1_000_000 ? `${size / 1_000_000} MB` : size >= 1_000 ? `${size / 1_000} kB` : `${size} B`
  switch (scenario) {
    case 'publish':
      return `${bytes}, ${outstanding} outstanding, ${queues}`
    case 'consume':
    case 'pipeline':
      return `${bytes}, prefetch ${prefetch}, ${queues}`
    case 'command':
      return `${bytes}, ${outstanding} outstanding`
    case 'heavy':
      return `${bytes}, one at a time`
    case 'log':
    case 'start':
      return ''
  }
}
