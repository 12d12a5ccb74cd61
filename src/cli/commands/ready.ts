/** `eventail ready`: whether services are ready, by what their health server says, or as the broker sees them. */
import { setTimeout as delay } from 'node:timers/promises'
import { ConnectionError } from '../../errors.ts'
import type { ManagementApi } from '../../management/api.ts'
import { wantingOf } from '../../management/readiness.ts'
import { takeSnapshot } from '../../management/snapshot.ts'
import { toJson } from '../../observe/body.ts'
import type { BrokerUrl } from '../../transport/broker-url.ts'
import { visible } from '../../wire/text.ts'
import { paint } from '../../observe/paint.ts'
import { type BrokerOptions, EXIT, explain, onceEach, takeBroker, type Terminal, UsageError } from '../command-line.ts'
import { managementOf } from '../connect.ts'

export interface ReadyOptions extends BrokerOptions {
  /** For how many seconds at most. */
  readonly wait?: number
  readonly json?: boolean
  readonly managementUrl?: string
}

interface Readiness {
  /** The service, or the URL that was asked. */
  readonly subject: string
  readonly isReady: boolean
  readonly problems: readonly string[]
}

interface Question {
  readonly subject: string
  readonly ask: (signal: AbortSignal) => Promise<Answer>
}

interface Answer {
  readonly problems: readonly string[]
  /** The exit code when it is the first that is not ready. */
  readonly code: number
}

const ANSWER_MS = 5_000
const AGAIN_MS = 500
const IS_HTTP = /^https?:/i

export async function ready(operands: readonly string[], options: ReadyOptions, terminal: Terminal): Promise<number> {
  const servers = operands.filter((operand) => IS_HTTP.test(operand)).map(healthServer)
  const others = operands.filter((operand) => !IS_HTTP.test(operand))
  const questions = [...servers, ...servicesOnBus(others, options, terminal)]
  if (questions.length === 0)
    throw new UsageError('<service> is missing: its name, or the URL of its health server, as http://127.0.0.1:9000')
  const until = performance.now() + (options.wait ?? 0) * 1000
  const say = onceEach(terminal)
  for (;;) {
    const answers = await Promise.all(questions.map((question) => question.ask(terminal.signal)))
    if (terminal.signal.aborted) return EXIT.interrupted
    const unready = answers.find(({ code }) => code !== EXIT.ok)
    if (unready === undefined || performance.now() >= until) {
      const found = answers.map(({ problems }, index) => ({
        subject: questions[index]?.subject ?? '',
        isReady: problems.length === 0,
        problems,
      }))
      for (const readiness of found) print(readiness, options, terminal)
      if (unready === undefined) return EXIT.ok
      return options.wait === undefined ? unready.code : EXIT.timeout
    }
    say(`waiting: ${visible(unready.problems[0] ?? '')}`)
    await delay(Math.min(AGAIN_MS, Math.max(0, until - performance.now())), undefined, {
      signal: terminal.signal,
    }).catch(() => {})
  }
}

function print({ subject, isReady, problems }: Readiness, { json }: ReadyOptions, terminal: Terminal): void {
  if (json === true) {
    terminal.print(toJson({ subject, isReady, problems }))
    return
  }
  const shown = paint(terminal.colours, 'bold', visible(subject))
  if (isReady) terminal.print(`${paint(terminal.colours, 'green', 'ready')}  ${shown}`)
  const mark = paint(terminal.colours, 'red', 'not ready')
  for (const problem of problems) terminal.print(`${mark}  ${shown}: ${visible(problem)}`)
}

/** Whoever cannot be reached is not ready; what else goes wrong is told as it is. */
async function unlessUnreachable(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask()
  } catch (error) {
    const { text, code } = explain(error)
    if (code !== EXIT.unreachable) throw error
    return { problems: [text], code }
  }
}

/** @throws UsageError for what names no server; the text may have a password in it, and is not shown */
function healthServer(text: string): Question {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined) throw new UsageError('the URL of the health server must be like http://127.0.0.1:9000')
  if (url.username !== '' || url.password !== '')
    throw new UsageError('the URL of a health server has no user and no password')
  if (url.pathname === '/') url.pathname = '/readyz'
  return { subject: url.href, ask: (signal) => unlessUnreachable(() => askServer(url, signal)) }
}

/** @throws ConnectionError */
async function askServer({ href }: URL, interrupted: AbortSignal): Promise<Answer> {
  const signal = AbortSignal.any([interrupted, AbortSignal.timeout(ANSWER_MS)])
  let response: Response
  let text: string
  try {
    response = await fetch(href, { redirect: 'manual', signal })
    text = await response.text()
  } catch (error) {
    const { cause, message } = error as Error
    const why = cause instanceof Error && cause.message !== '' ? cause.message : message
    throw new ConnectionError(`no answer from the health server: ${why}`, { cause: error })
  }
  const report = parsed(text)
  if (typeof report['isReady'] !== 'boolean')
    throw new ConnectionError(`what answers there (HTTP ${response.status}) is no health server of eventail`)
  if (report['isReady']) return { problems: [], code: EXIT.ok }
  const told: unknown = report['problems']
  const problems = Array.isArray(told) ? told.filter((problem) => typeof problem === 'string') : []
  return { problems: problems.length === 0 ? ['is not ready'] : problems, code: EXIT.failed }
}

/** An object; an empty one for anything else. */
function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** @param operands the URL of the broker, where it is given, and names of services */
function servicesOnBus(operands: readonly string[], options: ReadyOptions, terminal: Terminal): readonly Question[] {
  if (operands.length === 0) return []
  const { broker, rest } = takeBroker(operands, options, terminal)
  if (rest.length === 0) return []
  const address = rest.find((name) => /^[^/]+:\d+(?:\/|$)/.test(name))
  if (address !== undefined)
    throw new UsageError(`'${address}' is no name of a service; the URL of a health server begins with http://`)
  const api = managementOf(broker, options.managementUrl, terminal)
  return rest.map((name) => ({
    subject: name,
    ask: () => unlessUnreachable(() => askBus(name, broker, api)),
  }))
}

/** @throws ManagementError */
async function askBus(service: string, broker: BrokerUrl, api: ManagementApi): Promise<Answer> {
  const problems = wantingOf(service, await takeSnapshot(api))
  if (problems === undefined)
    return { problems: [`no such service is, or was ever, on ${broker.shown}`], code: EXIT.notFound }
  return { problems, code: problems.length === 0 ? EXIT.ok : EXIT.failed }
}
