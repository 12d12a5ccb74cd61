/** What all commands share: where the broker comes from, what is never shown, how they end. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect } from 'vitest'
import { EXIT, normalise, takeBroker, type Terminal, withoutPasswords } from '../../src/cli/command-line.ts'
import { valueText } from '../../src/cli/show.ts'
import { toJson } from '../../src/observe/body.ts'
import { ConnectionError } from '../../src/errors.ts'
import { explain } from '../../src/cli/command-line.ts'
import { test } from '../bus/bus.ts'
import { Eventail, eventail } from './eventail.ts'

const folder = mkdtempSync(join(tmpdir(), 'eventail-cli-'))
afterAll(() => rmSync(folder, { recursive: true }))

function listener(): Terminal & { said: string[] } {
  const said: string[] = []
  return {
    said,
    print: () => {},
    drained: async () => {},
    backlog: 0,
    isReaderGone: false,
    say: (line) => void said.push(line),
    signal: new AbortController().signal,
    colours: false,
    columns: 120,
  }
}

describe('the broker', () => {
  test('is the URL given first, which is no operand then', () => {
    const { broker, rest } = takeBroker(['amqp://u:p@first/v', 'Told'], { url: 'amqp://second' }, listener())
    expect(broker).toMatchObject({ host: 'first', user: 'u', vhost: 'v', password: 'p' })
    expect(rest).toEqual(['Told'])
  })

  test('is --url, else --url-file, else the environment, else localhost', () => {
    const file = join(folder, 'url')
    writeFileSync(file, 'amqp://file\n', { mode: 0o600 })
    const hostOf = (options: { url?: string; urlFile?: string }): string =>
      takeBroker(['x'], options, listener()).broker.host
    const { EVENTAIL_AMQP_URL: before, AMQP_URL: other } = process.env
    try {
      process.env['AMQP_URL'] = 'amqp://general'
      process.env['EVENTAIL_AMQP_URL'] = 'amqp://own'
      expect(hostOf({ url: 'amqp://option', urlFile: file })).toBe('option')
      expect(hostOf({ urlFile: file })).toBe('file')
      expect(hostOf({})).toBe('own')
      delete process.env['EVENTAIL_AMQP_URL']
      expect(hostOf({})).toBe('general')
      delete process.env['AMQP_URL']
      expect(hostOf({})).toBe('localhost')
    } finally {
      if (before !== undefined) process.env['EVENTAIL_AMQP_URL'] = before
      if (other !== undefined) process.env['AMQP_URL'] = other
    }
  })

  test('with a password on the command line, or in a file that others can read, makes a warning', () => {
    const terminal = listener()
    takeBroker(['amqp://u@localhost'], {}, terminal)
    expect(terminal.said).toEqual([])
    takeBroker(['amqp://u:secret@localhost'], {}, terminal)
    const file = join(folder, 'open')
    writeFileSync(file, 'amqp://u:secret@localhost')
    takeBroker([], { urlFile: file }, terminal)
    expect(() => takeBroker(['amqps://localhost'], { tlsKey: file }, terminal)).toThrow(/^tls: /)
    expect(terminal.said).toEqual([
      expect.stringMatching(/^warning: a password on the command line/),
      expect.stringMatching(/^warning: .*open can be read by others/),
      expect.stringMatching(/^warning: .*open can be read by others/),
    ])
    expect(terminal.said.join()).not.toContain('secret')
  })
})

test('passwords of URLs are taken out of whatever is said, with unescaped characters too', async ({ url }) => {
  expect(withoutPasswords("no such file 'amqp://u:p@ss:w/rd@host/v'")).toBe("no such file 'amqp://u:***@host/v'")
  const { code, stderr } = await eventail(url, ['publish-event', 'Told', 'amqp://u:canary@host'])
  expect(code).toBe(EXIT.usage)
  expect(stderr).not.toContain('canary')
})

test('names and options may be spelt with underscores, values are left alone', () => {
  expect(normalise(['publish_event', '--filter_fields', 'a_b=c_d', '--url_file=x_y', 'My_Event'])).toEqual([
    'publish-event',
    '--filter-fields',
    'a_b=c_d',
    '--url-file=x_y',
    'My_Event',
  ])
})

test('text from the wire is escaped, in values as well as in JSON', () => {
  const hostile = { ['\u001b]0;x\u0007']: '\u009b31m\u202e\u2028' }
  expect(JSON.parse(toJson(hostile))).toEqual(hostile)
  // oxlint-disable-next-line no-control-regex -- these are the characters that are looked for
  const raw = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e\u2028]/
  expect(toJson(hostile)).not.toMatch(raw)
  expect(valueText(hostile)).not.toMatch(raw)
})

test('bytes become base64, and integers beyond those of JSON text', () => {
  expect(toJson({ b: Buffer.from([1, 2, 3]), n: 2n ** 60n })).toBe('{"b":{"$bytes":"AQID"},"n":"1152921504606846976"}')
})

test('a broker that cannot be reached, or refuses us, is exit code 4', async ({ url, management: _management }) => {
  expect(explain(new ConnectionError('x')).code).toBe(EXIT.unreachable)
  const [gone, refused] = await Promise.all([
    eventail('amqp://127.0.0.1:1', ['logger']),
    eventail(url.replace('amqp://', 'amqp://nobody:wrong@'), ['dead', 'letters']),
  ])
  expect(gone).toMatchObject({ code: 4, stderr: expect.stringContaining('ECONNREFUSED') })
  expect(refused).toMatchObject({ code: 4, stderr: expect.stringContaining("refused user 'nobody'") })
  expect(refused.stderr).not.toContain('wrong@')
})

test('a wrong command line is exit code 2 and says what is wrong; help is exit code 0 and has examples', async () => {
  const [unknown, number, help] = await Promise.all([
    eventail('', ['resurect']),
    eventail('', ['resurrect', 'dead', '--count', 'x']),
    eventail('', ['resurrect', '--help']),
  ])
  expect(unknown).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('resurrect') })
  expect(number).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("--count must be a number of 0 or more, not 'x'"),
  })
  expect(help).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringContaining('eventail resurrect dead-letters --dry-run'),
  })
})

test('no mistyped URL shows its password, wherever it stands', async () => {
  const canary = 'u:can@ry/%x@host'
  const lines = [
    [`amqp://${canary}/v`, 'lagger'],
    ['logger', `--ulr=amqp://${canary}`],
    ['completion', `amqp://${canary}`],
    ['services', '--format', `amqp://${canary}`],
    ['logger', `AMQP://${canary}`],
    ['logger', `amqps:${canary}`],
    ['logger', '*.INFO', `amqp://${canary}`],
    ['services', `http://${canary}`],
    ['services', '--management-url', `http://${canary}`],
    ['--url', `amqp://${canary}`, 'logger'],
  ]
  for (const args of lines) {
    const { code, stdout, stderr } = await eventail('', args)
    expect([args, code]).toEqual([args, 2])
    expect(stdout + stderr).not.toMatch(/can@ry|can%40ry|@ry/)
  }
})

test('a broker named before the command is the broker of the command', () => {
  expect(normalise(['amqp://host', 'publish_event', 'X', '-'])).toEqual(['publish-event', 'amqp://host', 'X', '-'])
  expect(normalise(['--url_file', 'my_file', 'dead'])).toEqual(['dead', '--url-file', 'my_file'])
  expect(normalise(['--url=amqp://host', 'dead'])).toEqual(['dead', '--url=amqp://host'])
  expect(normalise(['help', 'publish_event'])).toEqual(['help', 'publish-event'])
})

test('help that nobody reads any more ends without a complaint', async () => {
  await using help = new Eventail('', ['--help'])
  help.child.stdout.destroy()
  expect(await help.ended).toMatchObject({ code: 0, stderr: '' })
})
