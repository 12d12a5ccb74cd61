/** One session of development: services on a bus, and the view of what they say to each other, until it is over. */
import { paint } from '../observe/paint.ts'
import type { Redact } from '../observe/redact.ts'
import type { BrokerTls } from '../transport/broker-tls.ts'
import type { BrokerUrl } from '../transport/broker-url.ts'
import { unlessAborted } from '../transport/reconnect.ts'
import { visible } from '../wire/text.ts'
import type { LineStyle } from './bus-line.ts'
import { BusView } from './bus-view.ts'
import { Services } from './services.ts'

export interface SessionOptions {
  readonly broker: BrokerUrl
  readonly tls?: BrokerTls | undefined
  /** Files of services, as {@link Services} has them. */
  readonly groups: readonly (readonly string[])[]
  /** What is added to the environment of the services. */
  readonly env: Readonly<Record<string, string>>
  readonly style: () => LineStyle
  readonly redact?: Redact
  /** Takes what is shown, line by line or several at once. */
  readonly print: (lines: string) => void
  /** What to say once the view sees the bus, before anything is started. */
  readonly introduce: (hasDeadLetters: boolean) => string
  /** Called when all services have been started. */
  readonly onStarted?: () => void
  /** Ends it. */
  readonly signal: AbortSignal
}

/**
 * @returns when everything has ended, after the signal
 * @throws ConnectionError when the broker cannot be reached in the beginning, or refuses us; TopologyError when it has exchanges of other kinds
 */
export async function runSession(options: SessionOptions): Promise<void> {
  const {
    broker,
    tls,
    groups,
    env,
    style,
    redact = (message) => message,
    print,
    introduce,
    onStarted,
    signal,
  } = options
  const bold = (text: string): string => paint(style().colours, 'bold', text)
  const note = (text: string): void => print(paint(style().colours, 'yellow', `-- ${visible(text)}`))
  let services: Services | undefined
  const view = await BusView.open(
    { broker, tls, style, redact, show: print, note, onReady: (pid) => services?.isReady(pid) },
    signal,
  )
  try {
    print(introduce(view.hasDeadLetters))
    services = new Services({
      groups,
      // what they log is shown by the view; they themselves say only what the bus cannot take
      env: { EVENTAIL_STDERR_LEVEL: 'UNSENT', ...env },
      onLine: (name, line) => print(`${bold(visible(name))} | ${line}`),
      note,
    })
    await unlessAborted(services.start(), signal)
    const began = performance.now()
    onStarted?.()
    await untilAborted(signal)
    note('stopping')
    await services.stop()
    print(bold(`${((performance.now() - began) / 1000).toFixed(0)} s: ${view.summary}`))
  } finally {
    await services?.stop()
    await view.close()
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
