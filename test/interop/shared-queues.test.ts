/** Workers of one logical service, some ours and some written in Python, share its queues. */
import { defineService, onCommand, onEvent, type RunningService, type ServiceDefinition } from 'eventail'
import { expect } from 'vitest'
import { jsonOf, type Listening, type Probe, test } from '../bus/bus.ts'
import { seenBy, startPythonWorker } from './python-worker.ts'

interface Done {
  readonly by: string
  readonly n: number
}

/** Failures are what these tests are about. */
const QUIET = { stderrLevel: 'NONE' } as const

function mixedService(name: string): ServiceDefinition {
  return defineService({
    name,
    format: 'json',
    handlers: [
      onEvent('Worked', ({ payload, publish }) => publish('Done', { by: 'ours', n: (payload as Done).n })),
      onCommand('Do', ({ payload }) => ({ by: 'ours', was: payload })),
    ],
  })
}

async function publishWork(probe: Probe, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, n) => probe.event('Worked', { n })))
}

async function collect(done: Listening, count: number): Promise<readonly Done[]> {
  const all: Done[] = []
  for (let i = 0; i < count; i++) all.push(jsonOf(await done.next()) as Done)
  return all
}

function workersOf(all: readonly { by: string }[]): readonly string[] {
  return [...new Set(all.map(({ by }) => by))].toSorted()
}

test('events are spread over a worker of ours and one in Python, and each is handled exactly once', async ({
  url,
  probe,
}) => {
  const done = await probe.listen('events', 'Done')
  await using _ours = await mixedService('mixed').start({ urls: [url], ...QUIET })
  // whoever declares the queue second must find it as it would have declared it
  await startPythonWorker(url, { service: 'mixed', events: ['Worked'], commands: ['mixed.Do'], format: 'json' })
  await publishWork(probe, 100)
  const all = await collect(done, 100)
  expect(new Set(all.map(({ n }) => n)).size).toBe(100)
  expect(workersOf(all)).toEqual(['ours', 'python'])
  await expect.poll(() => probe.counts('mixed.events')).toEqual({ messages: 0, consumers: 2 })
  expect(done.size).toBe(0)
})

test('commands are spread over a worker of ours and one in Python, and each is answered exactly once', async ({
  url,
  probe,
}) => {
  const results = await probe.listen('commands', 'probe.Result')
  await startPythonWorker(url, { service: 'doers', events: ['Worked'], commands: ['doers.Do'], format: 'json' })
  await using _ours = await mixedService('doers').start({ urls: [url], ...QUIET })
  const sent = Array.from({ length: 100 }, (_, n) => String(n))
  await Promise.all(sent.map((correlationId) => probe.command('doers.Do', correlationId, { correlationId })))
  const answers: { by: string; was: string }[] = []
  for (let i = 0; i < sent.length; i++) {
    const result = await results.next()
    const answer = jsonOf(result) as { by: string; was: string }
    expect(result.properties.correlationId).toBe(answer.was)
    expect(result.properties.headers).toMatchObject({ status: 'success', conversation_id: 'c1' })
    answers.push(answer)
  }
  expect(new Set(answers.map(({ was }) => was)).size).toBe(100)
  expect(workersOf(answers)).toEqual(['ours', 'python'])
  await expect.poll(() => probe.counts('doers.commands')).toEqual({ messages: 0, consumers: 2 })
})

test('when one of two workers stops, ours or the one in Python, the other gets everything', async ({ url, probe }) => {
  const done = await probe.listen('events', 'Done')
  const service = mixedService('shift')
  const first = await service.start({ urls: [url], ...QUIET })
  const python = await startPythonWorker(url, { service: 'shift', events: ['Worked'], format: 'json' })
  await first.stop()
  await publishWork(probe, 10)
  expect(workersOf(await collect(done, 10))).toEqual(['python'])
  await using _second = await service.start({ urls: [url], ...QUIET })
  expect(await python.stop()).toBe(0)
  await publishWork(probe, 10)
  expect(workersOf(await collect(done, 10))).toEqual(['ours'])
  await expect.poll(() => probe.counts('shift.events')).toEqual({ messages: 0, consumers: 1 })
})

test('a message whose handler failed in a worker of ours is retried on one in Python', async ({ url, probe }) => {
  const done = await probe.listen('events', 'Done')
  let begun: () => void = () => {}
  let fail: () => void = () => {}
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve
  })
  const mayFail = new Promise<void>((resolve) => {
    fail = resolve
  })
  const service = defineService({
    name: 'relay',
    handlers: [
      onEvent('Worked', async () => {
        begun()
        await mayFail
        throw new Error('not here')
      }),
    ],
  })
  const ours = await service.start({ urls: [url], ...QUIET })
  await probe.event('Worked', { n: 1 })
  await hasBegun
  const python = await startPythonWorker(url, { service: 'relay', events: ['Worked'], format: 'json' })
  // a worker that stops takes no more messages: the retry must go to the other
  const stopped = ours.stop()
  await expect.poll(() => probe.counts('relay.events')).toEqual({ messages: 0, consumers: 1 })
  fail()
  await stopped
  expect(await seenBy(python)).toMatchObject({ key: 'Worked', redelivered: true, payload: { n: 1 } })
  expect(await collect(done, 1)).toEqual([{ by: 'python', n: 1 }])
})

for (const [how, event] of [
  ['failed', 'FailHere'],
  ['died of it', 'Crash'],
] as const) {
  test(`a message whose worker in Python ${how} is retried on one of ours`, async ({ url, probe }) => {
    const retried: unknown[] = []
    const service = defineService({
      name: `heir-of-${event}`,
      handlers: [onEvent(event, ({ payload, metadata }) => retried.push([payload, metadata.redelivered]))],
    })
    const python = await startPythonWorker(url, { service: service.name, events: [event] })
    await probe.event(event, { n: 2 })
    expect(await seenBy(python)).toMatchObject({ redelivered: false })
    await using _ours: RunningService = await service.start({ urls: [url], ...QUIET })
    await expect.poll(() => retried).toEqual([[{ n: 2 }, true]])
    await expect.poll(() => probe.counts(`${service.name}.events`)).toMatchObject({ messages: 0 })
  })
}

test('what fails twice is dead, whichever workers it failed in, ours or in Python', async ({ url, probe, dead }) => {
  let failed = 0
  const service = defineService({
    name: 'hapless',
    handlers: [
      onEvent('Poison', () => {
        failed += 1
        throw new Error('out of luck')
      }),
    ],
  })
  await using _ours = await service.start({ urls: [url], ...QUIET })
  const python = await startPythonWorker(url, { service: 'hapless', events: ['Poison'] })
  for (let n = 0; n < 20; n++) await probe.event('Poison', { n })
  for (let n = 0; n < 20; n++) expect((await dead.next()).fields.routingKey).toBe('Poison')
  const failedInPython = (): number => python.lines.filter((line) => line.includes('"Poison"')).length
  // what it writes may come later than the dead letter
  await expect.poll(() => failed + failedInPython()).toBe(40)
  expect(failed).toBeGreaterThan(0)
  expect(failedInPython()).toBeGreaterThan(0)
})
