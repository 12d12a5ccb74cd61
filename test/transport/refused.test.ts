import { defineService, onEvent, PublishRefusedError } from 'eventail'
import { expect } from 'vitest'
import { isDevelopmentBroker, isLimited, jsonOf, test } from '../bus/bus.ts'
import type { Management } from '../bus/management.ts'
import { CapturedStderr, outcomeOf, Records } from '../bus/watched.ts'

const QUIET = { stderrLevel: 'NONE', format: 'json' } as const
let users = 0

/** The URL of a user who may publish no event whose name begins with Forbidden. */
async function limitedUrl(url: string, management: Management): Promise<string> {
  users += 1
  const limited = new URL(url)
  limited.username = `limited-${users}-${limited.pathname.slice(1)}`
  limited.password = 'limited'
  await management.createUser(limited.username, 'limited', { configure: '.*', write: '.*', read: '.*' })
  const path = `topic-permissions${limited.pathname}/${limited.username}`
  await management.api('PUT', path, { exchange: 'events', write: '^(?!Forbidden)', read: '.*' })
  return limited.href
}

test.skipIf(isDevelopmentBroker)(
  'a message that the broker refuses fails alone: all others are confirmed, in order',
  async ({ url, probe, management }) => {
    const arrived = await probe.listen('events', '#')
    const records = new Records()
    await using worker = await defineService({ name: 'culprits' }).start({
      ...QUIET,
      urls: [await limitedUrl(url, management)],
      onLog: records.onLog,
    })
    const culprits = [0, 333, 700, 701]
    const keyOf = (n: number): string => (culprits.includes(n) ? 'ForbiddenThing' : 'Allowed')
    const settled = new Map<number, number>()
    const outcomes = await Promise.all(
      Array.from({ length: 1000 }, (_, n) =>
        outcomeOf(worker.publish(keyOf(n), n).finally(() => settled.set(n, (settled.get(n) ?? 0) + 1))),
      ),
    )
    expect(outcomes.flatMap((outcome, n) => (outcome === 'PUBLISH_REFUSED' ? [n] : []))).toEqual(culprits)
    expect(outcomes.filter((outcome) => outcome === 'ok')).toHaveLength(996)
    expect([...settled.values()].every((times) => times === 1)).toBe(true)
    expect(worker.pendingPublishes).toBe(0)
    await expect.poll(() => arrived.received.at(-1)?.content.toString()).toBe('999')
    const first = [...new Set(arrived.received.map(jsonOf))]
    expect(first).toEqual(Array.from({ length: 1000 }, (_, n) => n).filter((n) => !culprits.includes(n)))
    // what came twice is the same message, not another one
    expect(new Set(arrived.received.map(({ properties }) => String(properties.messageId))).size).toBe(996)
    expect(records.of('ERROR')).toHaveLength(culprits.length)
    expect(records.of('WARNING')).toEqual([])
  },
)

test.skipIf(isDevelopmentBroker)('a refused publish says who refused it and why', async ({ url, management }) => {
  await using worker = await defineService({ name: 'told' }).start({
    ...QUIET,
    urls: [await limitedUrl(url, management)],
  })
  const error: unknown = await worker.publish('ForbiddenThing', 1).catch((e: unknown) => e)
  expect(error).toBeInstanceOf(PublishRefusedError)
  expect(error).toMatchObject({ exchange: 'events', routingKey: 'ForbiddenThing' })
  expect(error).toMatchObject({ message: expect.stringContaining('ACCESS_REFUSED') })
})

test.skipIf(isDevelopmentBroker)(
  'a handler whose publish is refused has failed, awaited or not, and others go on',
  async ({ url, probe, management, dead }) => {
    const done = await probe.listen('events', 'Done')
    await using _worker = await defineService({
      name: 'trespasser',
      handlers: [
        onEvent('Trespass', ({ publish }) => void publish('ForbiddenThing', 1)),
        onEvent('Behave', ({ payload, publish }) => publish('Done', payload)),
      ],
    }).start({ ...QUIET, urls: [await limitedUrl(url, management)] })
    await probe.event('Behave', 1)
    await probe.event('Trespass')
    await probe.event('Behave', 2)
    expect((await dead.next()).fields.routingKey).toBe('Trespass')
    expect(new Set([jsonOf(await done.next()), jsonOf(await done.next())])).toEqual(new Set([1, 2]))
    await expect.poll(() => probe.counts('trespasser.events')).toEqual({ messages: 0, consumers: 1 })
  },
)

// who may not declare exchanges waits for an administrator
test.skipIf(isLimited)(
  'a service whose exchange was deleted declares and binds all again, and sends what was refused',
  async ({ url, probe }) => {
    using _stderr = new CapturedStderr()
    const records = new Records()
    const healed: unknown[] = []
    await using worker = await defineService({
      name: 'healer',
      handlers: [onEvent('Happened', ({ payload }) => void healed.push(payload))],
    }).start({ ...QUIET, urls: [url], onLog: records.onLog })
    await probe.deleteExchange('events')
    expect(await outcomeOf(worker.publish('Happened', 1))).toBe('ok')
    await expect.poll(() => worker.state).toBe('ready')
    await probe.event('Happened', 2)
    await expect.poll(() => healed).toEqual([1, 2])
    expect(records.of('WARNING')).toEqual([expect.stringMatching(/connection lost: .*no exchange 'events'/)])
  },
)
