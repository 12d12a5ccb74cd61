/** `inspect-queue` and `dead`: they show what is there, and change nothing. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineService, onEvent } from 'eventail'
import { expect, inject } from 'vitest'
import { isDevelopmentBroker, test } from '../bus/bus.ts'
import { bury, dig, drain } from '../dead-letter/letters.ts'
import { Eventail, eventail, objectsOf } from './eventail.ts'

test('inspect-queue shows messages as they are, and keeps their order and number', async ({ url, probe }) => {
  await probe.declareQueue('mixed')
  for (const n of [1, 2, 3])
    await probe.publish({ routingKey: 'mixed', body: { n }, headers: { conversation_id: 'c1' } })
  const garbage = Buffer.from('\u001b[31mgarbage')
  await probe.publish({ routingKey: 'mixed', body: garbage, contentType: 'application/cbor' })
  const [all, one] = [
    await eventail(url, ['inspect_queue', 'mixed']),
    await eventail(url, ['inspect-queue', 'mixed', '--count', '2', '--json']),
  ]
  expect(all).toMatchObject({ code: 0, stderr: expect.stringContaining('4 of 4 messages') })
  expect(all.stderr).toContain('redelivered')
  expect(all.stdout).toContain('{ n: 3 }')
  expect(all.stdout).toContain('1b 5b 33 31 6d 67 61 72')
  expect(all.stdout).not.toContain('\u001b')
  expect(objectsOf(one.stdout).map(({ payload, redelivered }) => ({ payload, redelivered }))).toEqual([
    { payload: { n: 1 }, redelivered: true },
    { payload: { n: 2 }, redelivered: true },
  ])
  expect(await drain(probe, 'mixed')).toEqual(['{"n":1}', '{"n":2}', '{"n":3}', garbage.toString()])
})

test('inspect-queue counts what the filter lets through, tells deaths in words, and saves bodies', async ({
  url,
  probe,
}) => {
  const grave = await dig(probe, 'inspected', 'inspected.#')
  await bury(probe, grave, 60, (n) => ({ routingKey: n < 58 ? 'inspected.a' : 'inspected.b', body: { n } }))
  const folder = mkdtempSync(join(tmpdir(), 'eventail-inspect-'))
  const args = ['inspect-queue', grave.dead, '--filter', '*.b', '--count', '1', '--save', folder]
  const { code, stdout } = await eventail(url, args)
  expect(code).toBe(0)
  expect(stdout).toContain('{ n: 58 }')
  expect(stdout).not.toContain('{ n: 59 }')
  expect(stdout).toMatch(/dead: rejected by inspected\.events \d+ s ago/)
  expect(readdirSync(folder)).toHaveLength(1)
  rmSync(folder, { recursive: true })
})

test('inspect-queue refuses a live queue unless forced; a missing one is exit code 5', async ({ url, probe }) => {
  await probe.declareQueue('pong.events')
  await probe.publish({ routingKey: 'pong.events', body: 1 })
  const [refused, missing] = await Promise.all([
    eventail(url, ['inspect-queue', 'pong.events']),
    eventail(url, ['inspect-queue', 'nothing']),
  ])
  expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('--force') })
  expect(missing).toMatchObject({ code: 5, stderr: expect.stringContaining("queue 'nothing' cannot be read") })
  const channel = await probe.channel()
  const message = await channel.get('pong.events')
  expect(message === false ? undefined : message.fields.redelivered).toBe(false)
  await channel.close()
  expect(await eventail(url, ['inspect-queue', 'pong.events', '--force'])).toMatchObject({ code: 0 })
})

test('dead finds the dead-letter queues, and groups what is in them', async ({ url, probe, management: _api }) => {
  const grave = await dig(probe, 'grouped', 'grouped.#')
  await bury(probe, grave, 5, (n) => ({ routingKey: n < 3 ? 'grouped.a' : 'grouped.b', body: n }))
  const api = ['--management-url', inject('managementUrl')]
  const [text, json] = await Promise.all([
    eventail(url, ['dead', ...api]),
    eventail(url, ['dead', 'grouped-dead', '--json']),
  ])
  expect(text.code).toBe(0)
  expect(text.stdout).toContain('grouped-dead: ')
  // both read the queue at once, so each may miss what the other holds
  const again = await eventail(url, ['dead', 'grouped-dead', '--json'])
  expect(json.code).toBe(0)
  expect(objectsOf(again.stdout)).toEqual([
    {
      queue: 'grouped-dead',
      name: 'grouped.a',
      service: 'grouped',
      died_in: 'grouped.events',
      reason: 'rejected',
      count: 3,
    },
    {
      queue: 'grouped-dead',
      name: 'grouped.b',
      service: 'grouped',
      died_in: 'grouped.events',
      reason: 'rejected',
      count: 2,
    },
  ])
  const blind = await eventail(url, ['dead', '--management-url', 'http://127.0.0.1:1'])
  expect(blind).toMatchObject({ code: 4, stderr: expect.stringContaining('management API') })
})

test('dead --watch tells why a letter died, from the log of the same conversation', async ({
  url,
  probe,
  dead: _dead,
}) => {
  await using watch = new Eventail(url, ['dead', '--watch'])
  await expect.poll(() => watch.stderr, { timeout: 10_000 }).toContain('watching dead letters')
  await using _service = await defineService({
    name: 'failing',
    handlers: [
      onEvent('Fails', () => {
        throw new Error('the cat is on the keyboard')
      }),
    ],
  }).start({ urls: [url], stderrLevel: 'NONE' })
  await probe.event('Fails', 1)
  await expect.poll(() => watch.stdout, { timeout: 10_000 }).toContain('the cat is on the keyboard')
  expect(watch.stdout).toContain('rejected by failing.events')
})

test('dead --watch on an exchange that is not there is exit code 5', async ({ url }) => {
  expect(await eventail(url, ['dead', '--watch', '--exchange', 'nowhere'])).toMatchObject({
    code: 5,
    stderr: expect.stringContaining("no exchange 'nowhere'"),
  })
})

test('looking at five thousand letters again and again leaves all of them where they are, at once', async ({
  url,
  probe,
}) => {
  await probe.declareQueue('many')
  const count = 5_000
  for (let sent = 0; sent < count; sent += 1000)
    await Promise.all(Array.from({ length: 1000 }, (_, n) => probe.publish({ routingKey: 'many', body: sent + n })))
  const run = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await eventail(url, args)
    expect([args[0], code]).toEqual([args[0], 0])
    // when it has ended everything is back
    expect(await probe.counts('many')).toEqual({ messages: count, consumers: 0 })
    return stderr
  }
  expect(await run('inspect-queue', 'many', '--where', 'payload = 4999')).toContain(`1 of ${count} messages`)
  await run('dead', 'many')
  expect(await run('inspect-queue', 'many', '--count', '2')).toContain(`2 of ${count} messages`)
  const bodies = await drain(probe, 'many')
  expect(bodies).toEqual(Array.from({ length: count }, (_, n) => String(n)))
}, 60_000)

test.skipIf(isDevelopmentBroker)(
  'a quorum queue with a delivery limit is looked at only when forced: each look counts',
  async ({ url, probe, management: _api }) => {
    const api = ['--management-url', inject('managementUrl')]
    await probe.declareQueue('counted', {
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 1 },
    })
    await probe.publish({ routingKey: 'counted', body: 1 })
    for (const command of ['inspect-queue', 'dead', 'resurrect'])
      await expect
        .poll(async () => eventail(url, [command, 'counted', ...api]), { timeout: 10_000 })
        .toMatchObject({
          code: 1,
          stdout: '',
          stderr: expect.stringContaining('a quorum queue with a delivery limit of 1'),
        })
    expect(await eventail(url, ['inspect-queue', 'counted', ...api, '--force'])).toMatchObject({ code: 0 })
  },
)

test('dead refuses the live queue of a service, and passes it over among others', async ({ url, probe }) => {
  await probe.declareQueue('alive.events')
  await probe.publish({ routingKey: 'alive.events', body: 1 })
  await probe.declareQueue('quiet')
  expect(await eventail(url, ['dead', 'alive.events'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('live'),
  })
  expect(await eventail(url, ['dead', 'alive.events', 'quiet'])).toMatchObject({
    code: 3,
    stdout: 'quiet: 0 letters\n',
  })
})

test('a look at letters by somebody who watches keeps neither dead nor doctor from theirs', async ({
  url,
  probe,
  management: _api,
  dead: _dead,
}) => {
  const api = ['--management-url', inject('managementUrl')]
  await probe.declareQueue('watched.events')
  await using watch = new Eventail(url, ['dead', '--watch'])
  await expect.poll(() => watch.stderr, { timeout: 10_000 }).toContain('watching dead letters')
  await expect
    .poll(async () => (await eventail(url, ['doctor', '--watch', '0.1', ...api])).stdout, {
      timeout: 15_000,
      interval: 300,
    })
    .toContain('watched.events')
  expect((await eventail(url, ['dead', ...api])).stderr).not.toContain('RESOURCE_LOCKED')
})

test('messages that an expression cannot judge are left out, and why is told once, escaped', async ({ url, probe }) => {
  await probe.declareQueue('odd')
  for (const pad of ['\u001b[31mtext', '3', 'text']) await probe.publish({ routingKey: 'odd', body: { pad } })
  const { code, stdout, stderr } = await eventail(url, [
    'inspect-queue',
    'odd',
    '--json',
    '--where',
    '$number(payload.pad) > 1',
  ])
  expect(code).toBe(0)
  expect(objectsOf(stdout).map(({ payload }) => payload)).toEqual([{ pad: '3' }])
  expect(stderr).toContain("--where cannot judge 'odd': Unable to cast value to a number")
  expect(stderr).not.toContain('[object Object]')
  expect(stderr).not.toContain('\u001b')
})

test('an output that cannot be written is exit code 1, and one that nobody reads any more a clean end', async ({
  url,
  probe,
}) => {
  await probe.declareQueue('shown')
  const pad = 'x'.repeat(200)
  await Promise.all(Array.from({ length: 2000 }, (_, n) => probe.publish({ routingKey: 'shown', body: { n, pad } })))
  const shell = (line: string): { status: number | null; stderr: string } =>
    spawnSync('bash', ['-c', `set -o pipefail; ${line}`], {
      encoding: 'utf8',
      env: { ...process.env, EVENTAIL_AMQP_URL: url },
    })
  const inspect = 'node dist/cli/main.js inspect-queue shown --json'
  expect(shell(`${inspect} > /dev/full`)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('cannot be written'),
  })
  expect(shell(`${inspect} | head -1 > /dev/null`)).toMatchObject({ status: 0 })
  expect(await probe.counts('shown')).toEqual({ messages: 2000, consumers: 0 })
}, 40_000)
