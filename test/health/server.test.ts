/** The health server, asked as an orchestrator asks it. */
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { defineService, InvalidSettingError, onConfiguration, onEvent } from 'eventail'
import { type HealthServerOptions, startHealthServer } from 'eventail/health'
import { describe, expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { CapturedStderr, gate } from '../bus/watched.ts'
import { Program } from '../dev/programs.ts'

const PROGRAM = fileURLToPath(new URL('programs/watched.ts', import.meta.url))
const QUIET = { stderrLevel: 'NONE' } as const

async function get(url: string, method = 'GET'): Promise<{ status: number; body: unknown; headers: Headers }> {
  const response = await fetch(url, { method })
  const text = await response.text()
  const isJson = response.headers.get('content-type') === 'application/json'
  return { status: response.status, body: isJson ? (JSON.parse(text) as unknown) : text, headers: response.headers }
}

/** The statuses of both paths, and the problems. */
async function ask(url: string): Promise<{ live: number; ready: number; problems: unknown }> {
  const [live, ready] = [await get(`${url}/healthz`), await get(`${url}/readyz`)]
  expect(live.body).toMatchObject({ isLive: live.status === 200 })
  expect(ready.body).toMatchObject({ isReady: ready.status === 200 })
  return { live: live.status, ready: ready.status, problems: (ready.body as { problems: unknown }).problems }
}

describe('the health server', () => {
  test('tells of a service from before it connects until after it has stopped', async ({ url, probe }) => {
    using _stderr = new CapturedStderr()
    await using proxy = await Proxy.start(Number(new URL(url).port))
    await using health = await startHealthServer({ port: 0 })
    expect(health.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(await ask(health.url)).toEqual({
      live: 200,
      ready: 503,
      problems: ['no service has begun: give the health server to start() or run()'],
    })
    proxy.refuse()
    const goOn = gate()
    const running = gate()
    const starting = defineService({
      name: 'watched',
      handlers: [
        onConfiguration('watched.Conf', () => true),
        onEvent('Any', () => {
          running.open()
          return goOn.opened
        }),
      ],
    }).start({ ...QUIET, urls: [proxy.through(url)], health })
    await expect
      .poll(() => ask(health.url))
      .toEqual({
        live: 200,
        ready: 503,
        problems: [expect.stringMatching(/^watched: is not connected to the broker: cannot connect/)],
      })
    proxy.pass()
    await using worker = await starting
    expect(await ask(health.url)).toMatchObject({
      live: 200,
      ready: 503,
      problems: [expect.stringContaining('watched: waits for its configuration (watched.Conf)')],
    })
    await probe.publish({ exchange: 'configurations', routingKey: 'watched.Conf', body: {} })
    await expect.poll(() => ask(health.url)).toEqual({ live: 200, ready: 200, problems: [] })
    await probe.event('Any')
    await running.opened
    const stopped = worker.stop()
    expect(await ask(health.url)).toEqual({ live: 200, ready: 503, problems: ['watched: is stopping'] })
    goOn.open()
    await stopped
    expect(await ask(health.url)).toEqual({ live: 503, ready: 503, problems: ['watched: has stopped'] })
  })

  test('is ready when all of its services are, and forgets one that stopped when it begins again', async ({ url }) => {
    await using health = await startHealthServer({ port: 0 })
    const one = defineService({ name: 'one', handlers: [onEvent('Any', () => {})] })
    const two = defineService({ name: 'two', handlers: [onConfiguration('two.Conf', () => true)] })
    const options = { ...QUIET, urls: [url], health }
    using _stderr = new CapturedStderr()
    const first = await one.start(options)
    expect(await ask(health.url)).toMatchObject({ ready: 200 })
    await using _second = await two.start(options)
    const { body } = await get(`${health.url}/readyz`)
    expect(body).toEqual({
      isLive: true,
      isReady: false,
      problems: ['two: waits for its configuration (two.Conf), and consumes nothing else before'],
      services: [
        { service: 'one', state: 'ready', isLive: true, isReady: true, problems: [] },
        expect.objectContaining({ service: 'two', state: 'unconfigured', isLive: true, isReady: false }),
      ],
    })
    await first.stop()
    expect(await ask(health.url)).toMatchObject({ live: 503, ready: 503 })
    await using _again = await one.start(options)
    expect(await ask(health.url)).toMatchObject({ live: 200, ready: 503 })
  })

  test('answers nothing but GET, and no other path', async () => {
    await using health = await startHealthServer({ port: 0 })
    for (const method of ['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS']) {
      const { status, headers } = await get(`${health.url}/healthz`, method)
      expect([method, status, headers.get('allow')]).toEqual([method, 405, 'GET'])
    }
    for (const path of ['/', '/healthz/', '/readyz/x', '/metrics/..%2f', '/__proto__', '//healthz'])
      expect([path, (await get(health.url + path)).status]).toEqual([path, 404])
    const { status, headers } = await get(`${health.url}/healthz?verbose=1`)
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(await get(`${health.url}/metrics`)).toMatchObject({
      status: 404,
      body: 'metrics are off: startHealthServer({ metrics: true }) turns them on\n',
    })
  })

  test('closes with connections that are open, and twice', async () => {
    const health = await startHealthServer({ port: 0 })
    const idle = connect(Number(new URL(health.url).port), '127.0.0.1')
    const ended = new Promise((resolve) => idle.once('close', resolve))
    idle.on('error', () => {})
    await new Promise((resolve) => idle.once('connect', resolve))
    await Promise.all([health.close(), health.close()])
    await ended
    await health.close()
    await expect(fetch(health.url)).rejects.toThrow()
  })
})

test('a port that is taken, and an address that is not there, are refused with the mend', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => other.once('listening', resolve))
  const { port } = other.address() as AddressInfo
  const refusalOf = async (options: object): Promise<string> => {
    const error: unknown = await startHealthServer(options as HealthServerOptions).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(InvalidSettingError)
    return (error as Error).message
  }
  expect(await refusalOf({ port })).toBe(
    `port: the health server cannot listen on port ${port} of '127.0.0.1': another program does; choose another port, or 0 for a free one`,
  )
  other.close()
  expect(await refusalOf({ port: 0, host: '203.0.113.1' })).toMatch(
    /^host: .*'203\.0\.113\.1': this machine has no such/,
  )
  expect(await refusalOf({ port: 70_000 })).toMatch(/^port: must be a whole number from 0 to 65535/)
  expect(await refusalOf({ port: 0, host: '' })).toMatch(/^host: must be an address/)
  expect(await refusalOf({ port: 0, metrics: 'yes' })).toMatch(/^metrics: must be true or false/)
  expect(await refusalOf({ prot: 0 })).toMatch(/'prot' does not exist; did you mean 'port'\?/)
  expect(await refusalOf(null as never)).toMatch(/must be an object/)
})

test('a program ends in good order although its health server listens and a client is connected', async ({ url }) => {
  await using program = new Program(['--import', 'tsx', PROGRAM], { EVENTAIL_AMQP_URL: url })
  await expect.poll(() => program.output, { timeout: 15_000 }).toMatch(/ready: /)
  const [at = ''] = /http:\S+/.exec(program.output) ?? []
  await expect.poll(async () => (await get(`${at}/readyz`)).status).toBe(200)
  const idle = connect(Number(new URL(at).port), '127.0.0.1')
  idle.on('error', () => {})
  await new Promise((resolve) => idle.once('connect', resolve))
  program.kill('SIGTERM')
  expect(await program.ended, program.output).toBe(0)
})
