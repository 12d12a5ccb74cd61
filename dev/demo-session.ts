/** What the demo shows: the example services on a bus, and how to read it. TypeScript, and so loaded once the packages are installed. */
import { fileURLToPath } from 'node:url'
import { startDevelopmentBus } from '../src/dev/development-bus.ts'
import { runSession } from '../src/dev/session.ts'
import { parseBrokerUrl } from '../src/transport/broker-url.ts'

// Those that are sent commands or configuration requests come first, so that nothing is returned to the others.
const ANSWERING = ['pong', 'prime', 'echo-messages']
const ASKING = ['grumpy', 'minute-clock', 'prime-time', 'ping', 'ping-conf', 'clock']

export interface Demo {
  /** Of the broker; undefined for the development broker. */
  readonly url: string | undefined
  /** Whether the broker goes with the demo. */
  readonly isOurs: boolean
  readonly seconds: number | undefined
  readonly colours: boolean
  readonly width: () => number
  readonly print: (text: string) => void
  readonly signal: AbortSignal
}

/** Runs until the signal aborts, or the seconds are over. */
export async function showDemo(demo: Demo): Promise<void> {
  const { url, seconds, colours, width, print, signal } = demo
  const bus = url === undefined ? await startDevelopmentBus('127.0.0.1', 0) : undefined
  const broker = parseBrokerUrl(url ?? bus?.url ?? '', 'EVENTAIL_AMQP_URL')
  const over = new AbortController()
  let timer: NodeJS.Timeout | undefined
  try {
    await runSession({
      broker,
      groups: [ANSWERING, ASKING].map((names) => names.map(fileOf)),
      env: bus?.env ?? { EVENTAIL_AMQP_URL: url ?? '' },
      style: () => ({ colours, width: width(), level: 'WARNING', details: false }),
      print,
      introduce: (hasDeadLetters) => header(demo, demo.isOurs ? (url ?? bus?.url ?? '') : broker.shown, hasDeadLetters),
      onStarted: () => {
        if (seconds !== undefined) timer = setTimeout(() => over.abort(), seconds * 1000)
      },
      signal: AbortSignal.any([signal, over.signal]),
    })
  } finally {
    clearTimeout(timer)
    await bus?.close()
  }
  if (!demo.isOurs) print('The queues of the services stay on the broker, as those of any service do.')
}

function header({ isOurs, seconds }: Demo, shownUrl: string, hasDeadLetters: boolean): string {
  const attach = isOurs ? `EVENTAIL_AMQP_URL=${shownUrl} npx tsx` : 'with the same EVENTAIL_AMQP_URL: npx tsx'
  return [
    '',
    `${ANSWERING.length + ASKING.length} services on ${shownUrl}`,
    `  ${[...ANSWERING, ...ASKING].join(', ')}: the files of examples/`,
    `  Add one of yours: ${attach} examples/ping.ts my-ping`,
    '  A line is: time, end of the conversation id, kind, sender, routing key, payload. The same colour of the id is the',
    '  same conversation. ALERT: a handler failed, and its message is tried once more; an EMERGENCY behind it: that failed too.',
    ...(hasDeadLetters
      ? []
      : ["  There is no exchange 'am-dlx' on this broker: dead letters do not show (README, Dead letters)."]),
    ...(hasDeadLetters && !isOurs ? ['  Dead letters show if the policy of the operator sends them to am-dlx.'] : []),
    seconds === undefined ? '  Ctrl-C ends it.' : `  It ends after ${seconds} s; Ctrl-C ends it before.`,
    '',
  ].join('\n')
}

function fileOf(name: string): string {
  return fileURLToPath(new URL(`../examples/${name}.ts`, import.meta.url))
}
