/** `publish-event`, `publish-configuration` and `send-command` against a real bus. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decode, encode } from 'cborg'
import { CommandError, defineService, onCommand } from 'eventail'
import { afterAll, expect } from 'vitest'
import { isDevelopmentBroker, jsonOf, test } from '../bus/bus.ts'
import { Eventail, eventail, objectsOf } from './eventail.ts'

const folder = mkdtempSync(join(tmpdir(), 'eventail-send-'))
const json = join(folder, 'told.json')
const cbor = join(folder, 'told.cbor')
writeFileSync(json, '{"n":1}')
writeFileSync(cbor, encode({ bytes: Uint8Array.of(1, 2) }))
afterAll(() => rmSync(folder, { recursive: true }))

const QUIET = { stderrLevel: 'NONE' } as const

test('an event goes out as CBOR from a JSON file, confirmed, in the conversation asked for', async ({ url, probe }) => {
  const events = await probe.listen('events', 'Told')
  const { code, stderr } = await eventail(url, ['publish_event', 'Told', json, '--conversation', 'c9', '--repeat', '3'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('3 × Told confirmed') })
  const told = await events.next()
  expect(told.properties.contentType).toBe('application/cbor')
  expect(decode(told.content)).toEqual({ n: 1 })
  expect(told.properties.headers?.['conversation_id']).toBe('c9')
  await expect.poll(() => events.size).toBe(2)
})

test('a configuration goes out as JSON from standard input', async ({ url, probe }) => {
  const configurations = await probe.listen('configurations', 'Conf')
  const { code } = await eventail(url, ['publish-configuration', 'Conf', '-', '--format', 'json'], '{"on":true}')
  expect(code).toBe(0)
  const conf = await configurations.next()
  expect(conf.properties.contentType).toBe('application/json')
  expect(jsonOf(conf)).toEqual({ on: true })
})

test('a mandatory event without a queue, and one that a queue refuses, are exit code 7', async ({ url, probe }) => {
  const channel = await probe.channel()
  const full = { durable: true, arguments: { 'x-max-length': 0, 'x-overflow': 'reject-publish' } }
  await probe.declareQueue('full', full)
  await probe.bind('full', 'events', 'Full')
  const [nowhere, refused] = await Promise.all([
    eventail(url, ['publish-event', 'Nowhere', json, '--mandatory']),
    eventail(url, ['publish-event', 'Full', cbor]),
  ])
  expect(nowhere).toMatchObject({ code: 7, stderr: expect.stringContaining('no queue is bound for it') })
  expect(refused).toMatchObject({ code: 7, stderr: expect.stringContaining('the broker refused 1 × Full') })
  await channel.close()
})

test.skipIf(isDevelopmentBroker)(
  'an event that the broker forbids is refused with the reason',
  async ({ url, management }) => {
    const limited = new URL(url)
    limited.username = `silent-${limited.pathname.slice(1)}`
    limited.password = 'silent'
    await management.createUser(limited.username, 'silent', { configure: '.*', write: '.*', read: '.*' })
    await management.api('PUT', `topic-permissions${limited.pathname}/${limited.username}`, {
      exchange: 'events',
      write: '^Allowed',
      read: '.*',
    })
    const refused = await eventail(limited.href, ['publish-event', 'Forbidden', json])
    expect(refused).toMatchObject({ code: 7, stderr: expect.stringContaining('ACCESS_REFUSED') })
  },
)

test('a payload that cannot be read or decoded is exit code 2', async ({ url }) => {
  const [missing, wrong] = await Promise.all([
    eventail(url, ['publish-event', 'Told', join(folder, 'none.json')]),
    eventail(url, ['publish-event', 'Told', '-'], 'not JSON'),
  ])
  expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining('ENOENT') })
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('standard input is not JSON') })
})

test('a command prints its result; two operators at once each get their own', async ({ url }) => {
  await using _echo = await defineService({
    name: 'echo',
    handlers: [
      onCommand('Say', ({ payload }) => payload),
      onCommand('Refuse', () => {
        throw new CommandError({ why: 'tired' })
      }),
    ],
  }).start({ ...QUIET, urls: [url] })
  const say = (n: number): ReturnType<typeof eventail> =>
    eventail(url, ['send-command', 'echo.Say', '-', '--json', '--conversation', `c${n}`], JSON.stringify({ n }))
  const [one, two, refused] = await Promise.all([say(1), say(2), eventail(url, ['send_command', 'echo.Refuse', cbor])])
  for (const [n, { code, stdout }] of [one, two].entries()) {
    expect(code).toBe(0)
    expect(objectsOf(stdout)).toEqual([
      expect.objectContaining({
        kind: 'result',
        name: expect.stringMatching(/^eventail-cli\.Result-/),
        service: 'eventail-cli',
        status: 'success',
        conversation_id: `c${n + 1}`,
        payload: { n: n + 1 },
      }),
    ])
  }
  expect(refused).toMatchObject({ code: 6, stderr: 'error\n', stdout: "{ why: 'tired' }\n" })
})

test('somebody who watches makes no difference to a command that nobody takes', async ({ url }) => {
  await using monitor = new Eventail(url, ['monitor', '--commands'])
  await expect.poll(() => monitor.stderr, { timeout: 10_000 }).toContain('messages on')
  expect(await eventail(url, ['send-command', 'absent.Do', json, '--timeout', '0.3'])).toMatchObject({
    code: 7,
    stderr: expect.stringContaining("there is no queue 'absent.commands'; only somebody who watches received it"),
  })
})

test('surplus operands are refused', async ({ url }) => {
  for (const args of [
    ['publish-event', 'Told', json, 'more'],
    ['send-command', 'echo.Say', json, 'more'],
    ['inspect-queue', 'a', 'b'],
    ['resurrect', 'a', 'b'],
  ])
    expect(await eventail(url, args)).toMatchObject({ code: 2, stderr: expect.stringMatching(/unexpected '(more|b)'/) })
})

test('a command that nobody is bound to is exit code 7, and one that nobody answers 124', async ({ url, probe }) => {
  await probe.declareQueue('mute.commands')
  await probe.bind('mute.commands', 'commands', 'mute.#')
  const [nobody, mute] = await Promise.all([
    eventail(url, ['send-command', 'nobody.Do', json]),
    eventail(url, ['send-command', 'mute.Do', json, '--timeout', '0.2']),
  ])
  expect(nobody).toMatchObject({ code: 7, stderr: expect.stringContaining('no queue is bound') })
  expect(mute).toMatchObject({
    code: 124,
    stderr: expect.stringContaining("queue 'mute.commands' has it, and its service is not running"),
  })
})
