/** What no command gives away: passwords, and fields that were asked to be left out. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineService, onCommand } from 'eventail'
import { expect, inject } from 'vitest'
import { test } from '../bus/bus.ts'
import { Eventail, eventail } from './eventail.ts'

const QUIET = { stderrLevel: 'NONE' } as const
const PASSWORD = 'c4n@ry:/%'
const SECRET = encodeURIComponent(PASSWORD)

/** Each command with operands that it accepts. */
const COMMANDS: readonly (readonly string[])[] = [
  ['logger'],
  ['monitor'],
  ['publish-event', 'Told', '-'],
  ['publish-configuration', 'Told', '-'],
  ['send-command', 'any.Do', '-', '--timeout', '0.3'],
  ['inspect-queue', 'some-queue'],
  ['resurrect', 'some-queue'],
  ['dead', 'some-queue'],
  ['dead', '--watch'],
  ['trace', 'c1', '--idle', '0.3'],
  ['services'],
  ['doctor', '--watch', '0'],
  ['dev'],
]

test('every command warns of a password on the command line, and shows it nowhere', async ({ management: _own }) => {
  for (const [command = '', ...operands] of COMMANDS) {
    for (const target of ['amqp://127.0.0.1:1', inject('brokerUrl')]) {
      const url = `${target.replace('amqp://', `amqp://guest:${SECRET}@`)}/nowhere`
      const { code, stdout, stderr } = await eventail('', [command, url, ...operands], '1')
      expect([command, code]).toEqual([command, 4])
      expect(stderr).toContain('warning: a password on the command line is seen by every user of this machine')
      expect(stdout + stderr).not.toMatch(/c4n|@ry|%40ry/)
    }
  }
}, 60_000)

test.runIf(process.platform === 'linux')('a password on the command line is soon seen by nobody', async ({ url }) => {
  await using watching = new Eventail('', ['logger', url.replace('amqp://', 'amqp://guest:guest@')])
  await expect.poll(() => watching.stderr, { timeout: 10_000 }).toContain('logs of')
  const seen = readFileSync(`/proc/${watching.child.pid}/cmdline`, 'latin1')
  expect(seen).toContain('eventail')
  expect(seen).not.toContain('guest')
})

test('fields that are redacted are in no output, no file and no complaint of a command', async ({ url, probe }) => {
  const folder = mkdtempSync(join(tmpdir(), 'eventail-redact-'))
  const body = { phone: 'canary', name: 'Ada' }
  const redact = ['--redact', 'phone', 'short_message']
  const answers = defineService({ name: 'answers', handlers: [onCommand('Ask', () => body)] })
  await using _worker = await answers.start({ ...QUIET, urls: [url] })
  await using monitor = new Eventail(url, ['monitor', '--events', ...redact, '--where', 'payload.phone > 1 or true'])
  await using json = new Eventail(url, ['monitor', '--events', '--json', ...redact])
  await using saving = new Eventail(url, ['monitor', '--events', '--save', folder, ...redact])
  await using logger = new Eventail(url, ['logger', ...redact])
  await using trace = new Eventail(url, ['trace', 'c1', ...redact])
  await using dead = new Eventail(url, ['dead', '--watch', '--exchange', 'events', '--json', ...redact])
  await using dev = new Eventail('', ['dev', url, ...redact])
  const running = [monitor, json, saving, logger, trace, dead, dev]
  for (const each of running) await expect.poll(() => each.stdout + each.stderr, { timeout: 15_000 }).toContain('amqp:')
  await probe.event('Called', body)
  await probe.event('Odd', Buffer.from('canary'), { contentType: 'application/cbor' })
  await probe.publish({ exchange: 'logs', routingKey: 'x.INFO', body: { short_message: 'canary', level: 6 } })
  for (const each of [json, saving, trace, dead, dev]) await expect.poll(() => each.stdout).toContain('Odd')
  await expect.poll(() => monitor.stderr).toContain("cannot judge 'Called'")
  await expect.poll(() => logger.stdout).toContain('***')
  await probe.declareQueue('held')
  await probe.publish({ routingKey: 'held', body })
  const [inspected, replayed, result] = [
    await eventail(url, ['inspect-queue', 'held', ...redact]),
    await eventail(url, ['resurrect', 'held', '--dry-run', '--json', ...redact]),
    await eventail(url, ['send-command', 'answers.Ask', '-', ...redact], '1'),
  ]
  for (const { stdout, stderr } of [...running, inspected, replayed, result]) {
    expect(stdout + stderr).not.toMatch(/canary|63 61 6e 61|Y2FuYXJ5/)
  }
  for (const { stdout } of [json, trace, dead, dev, inspected, replayed, result])
    expect(stdout).toMatch(/phone.{1,4}\*\*\*/)
  const files = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'latin1'))
  expect(files).toHaveLength(2)
  for (const text of files) expect(text).not.toContain('canary')
  rmSync(folder, { recursive: true })
})
