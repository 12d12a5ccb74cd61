/** The gate: a service that waits for its configuration consumes nothing else, and asks again after each reconnect. */
import { defineService, onConfiguration, onEvent, type ServiceOptions } from 'eventail'
import { describe, expect, vi } from 'vitest'
import { type Probe, recordOf, test } from '../bus/bus.ts'
import { CapturedStderr, gate, Records } from '../bus/watched.ts'

/** A service that is configured by `<name>.Conf` with `true`, and what happened to it. */
function gated(name: string, more: Partial<ServiceOptions> = {}) {
  const happened: string[] = []
  const service = defineService({
    name,
    handlers: [
      onConfiguration(`${name}.Conf`, ({ payload }) => {
        happened.push(`configured: ${String(payload)}`)
        return payload === true
      }),
      onEvent(`${name}.Event`, ({ payload }) => void happened.push(`event: ${String(payload)}`)),
    ],
    hooks: {
      onUnconfigured: () => void happened.push('unconfigured'),
      onReady: () => void happened.push('ready'),
    },
    ...more,
  })
  return { service, happened }
}

function configure(probe: Probe, name: string, payload: unknown): Promise<void> {
  return probe.publish({ exchange: 'configurations', routingKey: `${name}.Conf`, body: payload })
}

describe('a service with configurations', () => {
  test('consumes only them until a handler answers true, and then the ready hook runs', async ({ url, probe }) => {
    const { service, happened } = gated('closed')
    await using worker = await service.start({ urls: [url], stderrLevel: 'NONE' })
    expect(worker.state).toBe('unconfigured')
    await probe.event('closed.Event', 1)
    await configure(probe, 'closed', false)
    await configure(probe, 'closed', 'true')
    await expect.poll(() => happened).toEqual(['unconfigured', 'configured: false', 'configured: true'])
    expect(worker.state).toBe('unconfigured')
    expect(await probe.counts('closed.events')).toEqual({ messages: 1, consumers: 0 })
    await configure(probe, 'closed', true)
    // what waited on the queue may come before the hook has run
    await expect.poll(() => happened.slice(3).toSorted()).toEqual(['configured: true', 'event: 1', 'ready'])
    expect(worker.state).toBe('ready')
    expect(await probe.counts('closed.events')).toEqual({ messages: 0, consumers: 1 })
  })

  test('goes on getting them, and neither a second true nor a false changes its state', async ({ url, probe }) => {
    const { service, happened } = gated('updated')
    await using worker = await service.start({ urls: [url], stderrLevel: 'NONE' })
    await configure(probe, 'updated', true)
    await expect.poll(() => happened).toContain('ready')
    await configure(probe, 'updated', true)
    await configure(probe, 'updated', false)
    await expect.poll(() => happened).toContain('configured: false')
    await probe.event('updated.Event', 1)
    await expect.poll(() => happened.at(-1)).toBe('event: 1')
    expect(happened.filter((what) => what === 'ready')).toHaveLength(1)
    expect(worker.state).toBe('ready')
    expect(await probe.counts('updated.events')).toEqual({ messages: 0, consumers: 1 })
  })

  test('asks for one in its hook, with a publish that finds it waiting', async ({ url, probe }) => {
    const { service, happened } = gated('asking', {
      hooks: { onUnconfigured: ({ publish }) => publish('ConfWanted', 'asking') },
    })
    const provider = defineService({
      name: 'provider',
      handlers: [
        onEvent('ConfWanted', ({ payload, publishConfiguration }) =>
          publishConfiguration(`${payload as string}.Conf`, true),
        ),
      ],
    })
    await using _provider = await provider.start({ urls: [url], stderrLevel: 'NONE' })
    await using worker = await service.start({ urls: [url], stderrLevel: 'NONE' })
    await expect.poll(() => worker.state).toBe('ready')
    expect(happened).toEqual(['configured: true'])
    expect(await probe.counts('asking.events')).toEqual({ messages: 0, consumers: 1 })
  })

  test('waits again after a reconnect, without touching its events meanwhile', async ({ url, probe, management }) => {
    using _stderr = new CapturedStderr()
    const { service, happened } = gated('again')
    const records = new Records()
    await using worker = await service.start({ urls: [url], stderrLevel: 'NONE', onLog: records.onLog })
    await configure(probe, 'again', true)
    await expect.poll(() => happened).toEqual(['unconfigured', 'configured: true', 'ready'])
    const reconnected = new Promise<void>((resolve) => records.once(/again after/, resolve))
    await management.closeConnections(`again@${process.pid} (consume)`)
    await reconnected
    await expect.poll(() => happened.slice(3)).toEqual(['unconfigured'])
    expect(worker.state).toBe('unconfigured')
    await probe.event('again.Event', 1)
    expect(await probe.counts('again.events')).toEqual({ messages: 1, consumers: 0 })
    await configure(probe, 'again', true)
    // what waited on the queue may come before the hook has run
    await expect.poll(() => happened.slice(4).toSorted()).toEqual(['configured: true', 'event: 1', 'ready'])
    expect(records.of('NOTICE').filter((line) => line === 'waiting for the configuration')).toHaveLength(2)
  })

  test('goes on with the one that it had after a reconnect where that is wanted, and still gets others', async ({
    url,
    probe,
    management,
  }) => {
    using _stderr = new CapturedStderr()
    const { service, happened } = gated('keeping', { keepConfiguration: true })
    await using worker = await service.start({ urls: [url], stderrLevel: 'NONE' })
    expect(worker.state).toBe('unconfigured')
    await configure(probe, 'keeping', true)
    await expect.poll(() => happened).toEqual(['unconfigured', 'configured: true', 'ready'])
    await management.closeConnections(`keeping@${process.pid} (consume)`)
    await expect.poll(() => happened.slice(3)).toEqual(['ready'])
    await configure(probe, 'keeping', 'other')
    await probe.event('keeping.Event', 1)
    await expect.poll(() => happened.slice(4).toSorted()).toEqual(['configured: other', 'event: 1'])
  })

  test('says each minute that it waits, and no longer once it does not', async ({ url, probe }) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      const { service, happened } = gated('reminding')
      const records = new Records()
      await using _worker = await service.start({ urls: [url], stderrLevel: 'NONE', onLog: records.onLog })
      vi.advanceTimersByTime(61_000)
      const still = 'still waiting for the configuration, for 1 min; nothing else is consumed'
      expect(records.of('NOTICE')).toEqual(['waiting for the configuration', still])
      await configure(probe, 'reminding', true)
      await vi.waitFor(() => expect(happened).toContain('ready'))
      vi.advanceTimersByTime(60_000)
      expect(records.of('NOTICE')).toHaveLength(2)
    } finally {
      vi.useRealTimers()
    }
  })

  test('is stopped in good order while it waits', async ({ url, management }) => {
    const { service, happened } = gated('patient')
    const worker = await service.start({ urls: [url], stderrLevel: 'NONE' })
    await worker.stop()
    expect(worker.state).toBe('stopped')
    expect(happened).toEqual(['unconfigured'])
    await expect
      .poll(async () =>
        (await management.connections()).filter((one) => one.client_properties.connection_name?.startsWith('patient@')),
      )
      .toEqual([])
  })
})

test('a configuration handler that fails leaves the service waiting for a better one', async ({ url, probe }) => {
  const picky = defineService({
    name: 'picky',
    handlers: [
      onConfiguration('picky.Conf', ({ payload }) => {
        if (payload !== true) throw new Error('not that one')
        return true
      }),
    ],
  })
  const logs = await probe.logs('picky.ALERT', 'picky.EMERGENCY')
  await using worker = await picky.start({ urls: [url], stderrLevel: 'NONE' })
  await configure(probe, 'picky', 1)
  const lines = [await logs.next(), await logs.next(), await logs.next()].map((log) => recordOf(log)['short_message'])
  expect(lines.at(-1)).toBe('Giving up on picky.Conf')
  expect(worker.state).toBe('unconfigured')
  await configure(probe, 'picky', true)
  await expect.poll(() => worker.state).toBe('ready')
})

test('without configurations the ready hook runs once consumers are up, and again after each reconnect', async ({
  url,
  probe,
  management,
}) => {
  using _stderr = new CapturedStderr()
  const consumers: number[] = []
  const open = defineService({
    name: 'open',
    handlers: [onEvent('Any', () => {})],
    hooks: { onReady: async () => void consumers.push((await probe.counts('open.events')).consumers) },
  })
  await using worker = await open.start({ urls: [url], stderrLevel: 'NONE' })
  await expect.poll(() => consumers).toEqual([1])
  expect(worker.state).toBe('ready')
  await management.closeConnections(`open@${process.pid} (consume)`)
  await expect.poll(() => consumers, { timeout: 5000 }).toEqual([1, 1])
  expect(worker.state).toBe('ready')
})

test('a configuration handler that ends while its service stops opens the gate no more', async ({ url, probe }) => {
  const held = gate()
  const running = gate()
  const events: unknown[] = []
  const late = defineService({
    name: 'late',
    handlers: [
      onConfiguration('late.Conf', async () => {
        running.open()
        await held.opened
        return true
      }),
      onEvent('late.Event', ({ payload }) => void events.push(payload)),
    ],
  })
  using _stderr = new CapturedStderr()
  const worker = await late.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.event('late.Event', 1)
  await configure(probe, 'late', true)
  await running.opened
  const stopped = worker.stop()
  await expect.poll(() => probe.counts('late.events')).toEqual({ messages: 1, consumers: 0 })
  held.open()
  await stopped
  expect(events).toEqual([])
  const left = await probe.consume('late.events')
  expect((await left.next()).fields.redelivered).toBe(false)
})
