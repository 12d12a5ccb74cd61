/** `logger` and `monitor` against a real bus, with messages that mean them ill. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decode } from 'cborg'
import { expect } from 'vitest'
import { Saver } from '../../src/cli/save.ts'
import type { IncomingMessage } from '../../src/wire/message.ts'
import { type Probe, test } from '../bus/bus.ts'
import { Eventail, objectsOf } from './eventail.ts'

const HEADERS = { headers: { conversation_id: 'c1' } }

function logOf(probe: Probe, key: string, record: object | Uint8Array): Promise<void> {
  return probe.publish({ exchange: 'logs', routingKey: key, body: record })
}

test('logger shows one line a record, whatever the record holds, and ends at Ctrl-C', async ({ url, probe }) => {
  await using logger = new Eventail(url, ['logger'])
  await expect.poll(() => logger.stderr, { timeout: 10_000 }).toContain('logs of')
  await logOf(probe, 'pong.INFO', { short_message: 'one\nforged', level: 6, timestamp: 1, _conversation_id: 'c-77' })
  await logOf(probe, 'pong.\u001b]0;x.ERROR', Uint8Array.of(0xff, 0xfe, 0x1b, 0x5b))
  await logOf(probe, 'pong.ERROR', Buffer.from('not JSON'))
  await logOf(probe, 'pong.ALERT', { short_message: 'boom', full_message: 'at a\nat b' })
  await expect.poll(() => logger.stdout).toContain('at b')
  const lines = logger.stdout.split('\n')
  expect(lines[0]).toMatch(/pong.*INFO|INFO.*pong/)
  expect(lines[0]).toContain('one\\x0aforged')
  expect(logger.stdout).toContain('c-77')
  expect(logger.stdout).toContain('not JSON')
  expect(logger.stdout).not.toContain('\u001b')
  logger.child.kill('SIGINT')
  expect((await logger.ended).code).toBe(130)
})

test('logger asks for levels and services, gives JSON lines, and comes back when its connection is closed', async ({
  url,
  probe,
  management,
}) => {
  await using logger = new Eventail(url, ['logger', '--level', 'ERROR', '--service', 'pong', '--json'])
  await expect.poll(() => logger.stderr, { timeout: 10_000 }).toContain('logs of')
  await management.closeConnections('eventail logger')
  await expect.poll(() => logger.stderr.split('logs of').length, { timeout: 10_000 }).toBe(3)
  for (const key of ['pong.INFO', 'ping.ALERT', 'pong.ALERT'])
    await logOf(probe, key, { short_message: key, timestamp: 1_700_000_000 })
  await expect.poll(() => logger.stdout).toContain('\n')
  expect(objectsOf(logger.stdout)).toEqual([
    expect.objectContaining({
      ts: '2023-11-14T22:13:20.000Z',
      kind: 'log',
      name: 'pong.ALERT',
      service: 'pong',
      payload: { short_message: 'pong.ALERT', timestamp: 1_700_000_000 },
    }),
  ])
})

test('monitor shows what it is asked for, one envelope a line, and leaves no queue behind', async ({
  url,
  probe,
  management,
}) => {
  const where = 'payload.n > 1 or status = "error" or kind = "configuration"'
  await using monitor = new Eventail(url, ['monitor', '--json', '--where', where])
  await expect.poll(() => monitor.stderr, { timeout: 10_000 }).toContain('messages on')
  await probe.event('Told', { n: 1 })
  await probe.event('Told', { n: 2 }, { messageId: 'm1', appId: 'teller' })
  await probe.command('pong.Ping', { n: 3 })
  await probe.publish({
    exchange: 'commands',
    routingKey: 'ping.Result',
    body: 'no',
    correlationId: 'k1',
    headers: { conversation_id: 'c1', status: 'error', causation_id: 'm0' },
  })
  await probe.publish({
    exchange: 'configurations',
    routingKey: 'Conf',
    body: Uint8Array.of(0xff),
    contentType: 'application/cbor',
  })
  await expect.poll(() => monitor.stdout).toContain('Conf')
  expect(objectsOf(monitor.stdout)).toEqual([
    expect.objectContaining({ kind: 'event', name: 'Told', service: 'teller', message_id: 'm1', payload: { n: 2 } }),
    expect.objectContaining({
      kind: 'command',
      name: 'pong.Ping',
      service: 'pong',
      correlation_id: 'k1',
      status: null,
    }),
    expect.objectContaining({
      kind: 'result',
      name: 'ping.Result',
      status: 'error',
      causation_id: 'm0',
      redelivered: false,
    }),
    expect.objectContaining({ kind: 'configuration', payload: { $bytes: '/w==' }, problem: expect.any(String) }),
  ])
  monitor.child.kill('SIGTERM')
  await monitor.ended
  const queues = async (): Promise<number> =>
    ((await management.api('GET', `queues/${encodeURIComponent(new URL(url).pathname.slice(1))}`)) as unknown[]).length
  await expect.poll(queues, { timeout: 10_000 }).toBe(0)
})

test('monitor escapes keys and saves payloads inside the folder only', async ({ url, probe }) => {
  const outside = mkdtempSync(join(tmpdir(), 'eventail-save-'))
  const folder = join(outside, 'a', 'b')
  await using monitor = new Eventail(url, ['monitor', '--events', '--filter-fields', 'a.b=7', '--save', folder])
  await expect.poll(() => monitor.stderr, { timeout: 10_000 }).toContain('messages on')
  const keys = ['/etc/x', '../x', '../../x', 'nul\u0000l', 'esc\u001b[31m', 'k'.repeat(255), '..', '../x']
  await probe.event('Other', { a: { b: 8 } })
  for (const key of keys) await probe.event(key, { a: { b: 7 }, key }, HEADERS)
  await probe.event('last', { a: { b: 7 }, key: 'last' })
  await expect.poll(() => monitor.stdout).toMatch(/saved as .*last-/)
  const files = readdirSync(folder)
  expect(readdirSync(outside)).toEqual(['a'])
  expect(readdirSync(join(outside, 'a'))).toEqual(['b'])
  expect(files).toHaveLength(keys.length + 1)
  expect(files.every((name) => name.endsWith('.cbor') && name.length < 110)).toBe(true)
  const saved = files.map((name) => (decode(readFileSync(join(folder, name))) as { key: string }).key)
  expect(saved.toSorted()).toEqual([...keys, 'last'].toSorted())
  expect(monitor.stdout).not.toContain('\u001b')
  rmSync(outside, { recursive: true })
})

test('a saved file never overwrites one, nor follows a link that lies in its place', () => {
  const folder = mkdtempSync(join(tmpdir(), 'eventail-save-'))
  const message: IncomingMessage = {
    exchange: 'events',
    routingKey: 'Told',
    redelivered: false,
    deliveryTag: 1,
    properties: { contentType: 'application/json' },
    body: Buffer.from('{"n":1}'),
  }
  const first = new Saver(folder, true).save(message)
  rmSync(first)
  symlinkSync(join(folder, 'victim'), first)
  const second = new Saver(folder, true).save(message)
  const third = new Saver(folder, true).save(message)
  expect(new Set([first, second, third]).size).toBe(3)
  expect(existsSync(join(folder, 'victim'))).toBe(false)
  expect(JSON.parse(readFileSync(third, 'utf8'))).toEqual({ n: 1 })
  rmSync(folder, { recursive: true })
})

test('monitor stays bounded while nobody reads, and says how many messages it skipped', async ({ url, probe }) => {
  await using monitor = new Eventail(url, ['monitor', '--events', 'Flood', '--json'])
  await expect.poll(() => monitor.stderr, { timeout: 10_000 }).toContain('messages on')
  monitor.child.stdout.pause()
  const body = { text: 'x'.repeat(1000) }
  await Promise.all(Array.from({ length: 4000 }, () => probe.event('Flood', body)))
  // a round trip through the monitor's connection: when this one is shown, all before it were taken or skipped
  await expect
    .poll(
      async () => {
        monitor.child.stdout.resume()
        await probe.event('Flood', { text: 'end' })
        return monitor.stderr
      },
      { timeout: 10_000, interval: 100 },
    )
    .toMatch(/\(\d+ messages were skipped/)
})
