/** Text from the wire that a terminal would obey, through every command that shows some. */
import { defineService, onCommand } from 'eventail'
import { expect, inject } from 'vitest'
import { test } from '../bus/bus.ts'
import { Eventail, eventail } from './eventail.ts'

/** Titles that answer back (CVE-2003-0063), colours, cursor moves, C1 forms, forged lines, text that runs backwards, and DEL. */
const HOSTILE =
  '\u001b]0;x\u0007\u001b[21t\u001b[31m\u001b[2J\u009b31m\u009d0;y\u009c\r\nforged\u0085\u2028\u202etxet\u2066\u007f\u0008\u200f\ufeff\u061c'
/** What must not come through. The formats of lines and diagrams hold line feeds, and nothing else of it. */
// oxlint-disable-next-line no-control-regex -- these are the characters that are looked for
const RAW = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/
const api = (): readonly string[] => ['--management-url', inject('managementUrl')]

/** An AMQP short string of it. */
const KEY = HOSTILE.slice(0, 40)
const NAME = `x${KEY}`

const hostileMessage = {
  appId: HOSTILE,
  messageId: HOSTILE,
  correlationId: HOSTILE,
  type: HOSTILE,
  contentType: 'application/json',
  headers: { conversation_id: HOSTILE, causation_id: HOSTILE, status: HOSTILE, [HOSTILE]: HOSTILE },
}
const BODY = { [HOSTILE]: [HOSTILE, { short_message: HOSTILE }], short_message: HOSTILE, full_message: HOSTILE }

test('no command lets text from the wire speak to the terminal, nor forge a line', async ({
  url,
  probe,
  dead: _dead,
}) => {
  const answers = defineService({ name: 'answers', handlers: [onCommand('Ask', () => BODY)] })
  await using _worker = await answers.start({ urls: [url], stderrLevel: 'NONE' })
  const watchers: readonly (readonly string[])[] = [
    ['logger'],
    ['logger', '--json'],
    ['monitor', '--where', '$number(name) > 1'],
    ['monitor'],
    ['monitor', '--json'],
    ['trace', HOSTILE],
    ['trace', HOSTILE, '--json'],
    ['trace', HOSTILE, '--mermaid', '--idle', '3'],
    ['dead', '--watch'],
    ['dead', '--watch', '--json'],
    ['dev', '--broker', url],
  ]
  const running = watchers.map((args) => new Eventail(url, args))
  for (const each of running) await expect.poll(() => each.stdout + each.stderr, { timeout: 30_000 }).toContain('amqp:')
  for (const exchange of ['events', 'commands', 'configurations', 'logs', 'am-dlx']) {
    await probe.publish({ exchange, routingKey: KEY, body: BODY, ...hostileMessage })
    await probe.publish({ exchange, routingKey: `${KEY}.INFO`, body: Buffer.from(HOSTILE), ...hostileMessage })
  }
  await probe.declareQueue(NAME)
  await probe.bind(NAME, 'events', KEY)
  await probe.publish({ routingKey: NAME, body: BODY, ...hostileMessage })
  await probe.publish({
    routingKey: NAME,
    body: Buffer.from(HOSTILE),
    ...hostileMessage,
    contentType: 'application/cbor',
  })
  await probe.declareQueue(`${NAME}.events`)
  await probe.bind(`${NAME}.events`, 'events', `${KEY}.#`)
  const once: readonly (readonly string[])[] = [
    ['inspect-queue', NAME, ...api()],
    ['inspect-queue', NAME, '--json', ...api()],
    ['inspect-queue', `${NAME}.events`, ...api()],
    ['inspect-queue', `none${NAME}`, ...api()],
    ['dead', NAME, ...api()],
    ['dead', NAME, '--json', ...api()],
    ['resurrect', NAME, '--dry-run', ...api()],
    ['resurrect', NAME, '--dry-run', '--json', ...api()],
    ['send-command', 'answers.Ask', '-'],
    ['send-command', 'answers.Ask', '-', '--json'],
    ['publish-event', KEY, '-'],
    ['publish-event', 'Told', HOSTILE],
    ['send-command', `${HOSTILE}.Do`, '-'],
  ]
  const ended = [...(await inTurn(once, url))]
  // the management API knows of queues a moment after they are there
  for (const args of [
    ['services'],
    ['services', '--json'],
    ['services', '--format', 'mermaid'],
    ['services', '--format', 'dot'],
    ['doctor', '--watch', '0'],
    ['doctor', '--json', '--watch', '0'],
  ]) {
    let shown = ''
    await expect
      .poll(
        async () => {
          const one = await eventail(url, [...args, ...api()])
          shown = one.stdout + one.stderr
          return shown
        },
        { timeout: 15_000, interval: 500 },
      )
      .toContain('forged')
    ended.push({ args, text: shown })
  }
  for (const each of running)
    await expect.poll(() => each.stdout + each.stderr, { timeout: 15_000 }).toContain('forged')
  for (const [index, each] of running.entries())
    ended.push({ args: watchers[index] ?? [], text: each.stdout + each.stderr })
  await Promise.all(running.map((each) => each[Symbol.asyncDispose]()))
  for (const { args, text } of ended) {
    const found = [RAW.exec(text)?.[0], /^forged/m.exec(text)?.[0]]
    expect([args.slice(0, 2), ...found]).toEqual([args.slice(0, 2), undefined, undefined])
  }
}, 120_000)

test('what is wrong with a command line is told without its control characters', async () => {
  for (const args of [[HOSTILE], ['logger', `--${HOSTILE}`], ['services', '--format', HOSTILE]]) {
    const { code, stdout, stderr } = await eventail('', args)
    expect([code, stdout, RAW.exec(stderr)?.[0]]).toEqual([2, '', undefined])
  }
})

async function inTurn(list: readonly (readonly string[])[], url: string) {
  const ended: { args: readonly string[]; text: string }[] = []
  for (const args of list) {
    const { stdout, stderr } = await eventail(url, args, '1')
    ended.push({ args, text: stdout + stderr })
  }
  return ended
}
