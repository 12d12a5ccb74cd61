/** `eventail ready`, against health servers and against the broker. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { defineService, onCommand, onConfiguration, onEvent } from 'eventail'
import { startHealthServer } from 'eventail/health'
import { describe, expect, inject } from 'vitest'
import { test } from '../bus/bus.ts'
import { CapturedStderr } from '../bus/watched.ts'
import { Eventail, eventail, objectsOf } from './eventail.ts'

const QUIET = { stderrLevel: 'NONE' } as const
/** Each of these tests starts one process after the other. */
const SLOW_MS = 60_000
const api = (): readonly string[] => ['--management-url', inject('managementUrl')]

/** The management API knows of queues and connections a moment after they are there. */
const SOON = { timeout: 15_000, interval: 1000 }

describe('with the URL of a health server', () => {
  test(
    'tells what it says, and ends with its exit code',
    async ({ url, probe }) => {
      await using health = await startHealthServer({ port: 0 })
      const service = defineService({ name: 'asked', handlers: [onConfiguration('asked.Conf', () => true)] })
      await using _worker = await service.start({ ...QUIET, urls: [url], health })
      const problem = 'asked: waits for its configuration (asked.Conf), and consumes nothing else before'
      const at = `${health.url}/readyz`
      expect(await eventail('', ['ready', health.url])).toEqual({
        code: 1,
        stdout: `not ready  ${at}: ${problem}\n`,
        stderr: '',
      })
      const { code, stdout } = await eventail('', ['ready', at, '--json'])
      expect(code).toBe(1)
      expect(objectsOf(stdout)).toEqual([{ subject: at, isReady: false, problems: [problem] }])
      await using waiting = new Eventail('', ['ready', health.url, '--wait', '30'])
      await expect.poll(() => waiting.stderr).toBe(`waiting: ${problem}\n`)
      await probe.publish({ exchange: 'configurations', routingKey: 'asked.Conf', body: {} })
      expect(await waiting.ended).toMatchObject({ code: 0, stdout: `ready  ${at}\n` })
      expect(objectsOf((await eventail('', ['ready', health.url, '--json'])).stdout)).toEqual([
        { subject: at, isReady: true, problems: [] },
      ])
    },
    SLOW_MS,
  )

  test(
    'one that does not answer is told from one that is not ready, and from one that is none',
    async () => {
      const health = await startHealthServer({ port: 0 })
      const nobody = { code: 1, stdout: expect.stringContaining('no service has begun') }
      expect(await eventail('', ['ready', health.url])).toMatchObject(nobody)
      const began = performance.now()
      expect(await eventail('', ['ready', health.url, '--wait', '1'])).toMatchObject({ ...nobody, code: 124 })
      expect(performance.now() - began).toBeGreaterThan(1000)
      await health.close()
      expect(await eventail('', ['ready', health.url])).toMatchObject({
        code: 4,
        stdout: expect.stringMatching(/^not ready {2}http:\S+: no answer from the health server: .*ECONNREFUSED/),
      })
      const other = createServer((_, response) => response.end('{"ok": true}\u001b[31m')).listen(0, '127.0.0.1')
      await new Promise((resolve) => other.once('listening', resolve))
      const address = `http://127.0.0.1:${(other.address() as AddressInfo).port}/status`
      expect(await eventail('', ['ready', address])).toMatchObject({
        code: 4,
        stdout: `not ready  ${address}: what answers there (HTTP 200) is no health server of eventail\n`,
      })
      other.close()
    },
    SLOW_MS,
  )

  test('what a server says is escaped before it is shown', async () => {
    const hostile = createServer((_, response) =>
      response.writeHead(503).end(JSON.stringify({ isReady: false, problems: ['red \u001b[31m\u202e', 5] })),
    ).listen(0, '127.0.0.1')
    await new Promise((resolve) => hostile.once('listening', resolve))
    const { port } = hostile.address() as AddressInfo
    const { code, stdout } = await eventail('', ['ready', `http://127.0.0.1:${port}`])
    expect(code).toBe(1)
    expect(stdout).toMatch(/: red \\x1b\[31m\\u202e\n$/)
    hostile.close()
  })
})

test(
  'with the name of a service it tells what the broker knows',
  async ({ url, probe, management: _api }) => {
    using _stderr = new CapturedStderr()
    const bus = defineService({
      name: 'seen',
      handlers: [onConfiguration('seen.Conf', () => true), onEvent('Any', () => {}), onCommand('Do', () => {})],
    })
    expect(await eventail(url, ['ready', 'unseen', ...api()])).toMatchObject({
      code: 5,
      stdout: expect.stringMatching(/^not ready {2}unseen: no such service is, or was ever, on amqp:/),
    })
    const worker = await bus.start({ ...QUIET, urls: [url] })
    await expect
      .poll(() => eventail(url, ['ready', 'seen', ...api()]), SOON)
      .toMatchObject({
        code: 1,
        stdout:
          "not ready  seen: nobody consumes its queue 'seen.commands'\nnot ready  seen: nobody consumes its queue 'seen.events'\n",
      })
    const waiting = eventail(url, ['ready', 'seen', '--wait', '30', ...api()])
    await probe.publish({ exchange: 'configurations', routingKey: 'seen.Conf', body: {} })
    expect(await waiting).toMatchObject({ code: 0, stdout: 'ready  seen\n' })
    // one that is not ready is enough
    expect(await eventail(url, ['ready', 'seen', 'unseen', ...api()])).toMatchObject({ code: 5 })
    await worker.stop()
    await expect
      .poll(() => eventail(url, ['ready', 'seen', '--json', ...api()]), SOON)
      .toMatchObject({ code: 1, stdout: expect.stringContaining('no worker of it is connected') })
  },
  SLOW_MS,
)

test('a wrong command line is told with the mend, and without a password', async () => {
  const wrong = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await eventail('', ['ready', ...args])
    expect(code).toBe(2)
    return stderr
  }
  expect(await wrong()).toContain('<service> is missing: its name, or the URL of its health server')
  expect(await wrong('127.0.0.1:9000')).toContain('the URL of a health server begins with http://')
  const withPassword = await wrong('http://somebody:canary@127.0.0.1:9000')
  expect(withPassword).toContain('no user and no password')
  expect(withPassword).not.toContain('canary')
  expect(await wrong('http://[', '--wait', '1')).toContain('must be like http://127.0.0.1:9000')
  expect(await wrong('ping', '--wait', 'soon')).toContain('--wait must be a number')
})
