/** `trace`, `services` and `doctor` on a bus with services of ours and in Python. */
import { defineService, onCommand, onEvent, onResult } from 'eventail'
import { expect, inject } from 'vitest'
import { test } from '../bus/bus.ts'
import { startPythonWorker } from '../interop/python-worker.ts'
import { Eventail, eventail, objectsOf } from './eventail.ts'

const QUIET = { stderrLevel: 'NONE' } as const
const api = (): readonly string[] => ['--management-url', inject('managementUrl')]

/** The management API knows of queues and connections a moment after they are there. */
const SOON = { timeout: 15_000, interval: 1000 }

test('trace follows one conversation through services of ours and in Python, and draws it', async ({
  url,
  management: _api,
}) => {
  await startPythonWorker(url, { service: 'snake', commands: ['snake.Do'] })
  await using _asker = await defineService({
    name: 'asker',
    handlers: [
      onEvent('Asked', ({ sendCommand, log }) => {
        log.info('asking\u001b[31m')
        return sendCommand('snake.Do', { n: 1 })
      }),
      onResult('DoResult', ({ publish }) => publish('Answered', { n: 2 })),
    ],
  }).start({ ...QUIET, urls: [url] })
  await using trace = new Eventail(url, ['trace', 'talk-1', '--mermaid', '--idle', '8', ...api()])
  await using lines = new Eventail(url, ['trace', 'talk-1', '--json', '--idle', '8', ...api()])
  for (const each of [trace, lines]) await expect.poll(() => each.stderr, { timeout: 10_000 }).toContain('following')
  const publish = ['publish-event', 'Asked', '-', '--conversation']
  await Promise.all([eventail(url, [...publish, 'talk-2'], '{}'), eventail(url, [...publish, 'talk-1'], '{}')])
  const { code, stdout } = await trace.ended
  expect(code).toBe(0)
  expect(stdout).not.toContain('\u001b')
  const [timeline = '', diagram = ''] = stdout.split('sequenceDiagram')
  // a log goes its own way to the broker: where it stands among the others is not certain
  const isLog = (row: string): boolean => row.includes('asker.INFO')
  const rows = timeline
    .trimEnd()
    .split('\n')
    .filter((row) => !isLog(row))
  expect(timeline).toMatch(/ms +\+\d+ {4}log asker\.INFO {2}asking\\x1b\[31m\n/)
  expect(rows.map((row) => /(?:event|command|success) \S+/.exec(row)?.[0])).toEqual([
    'event Asked',
    'command snake.Do',
    'success asker.DoResult',
    'event Answered',
  ])
  expect(rows[0]).toContain('eventail-cli → asker')
  expect(rows[1]).toContain('asker → snake')
  expect(diagram).toContain('participant s2 as snake')
  const drawn = diagram.split('\n').filter((line) => !line.includes('Note over'))
  expect(drawn.join('\n')).toMatch(/s1->>s2: Do\n {2}s2-->>s1: DoResult/)
  const steps = objectsOf((await lines.ended).stdout)
  expect(steps).toHaveLength(5)
  const messages = steps.filter(({ kind }) => kind !== 'log')
  expect(messages.map(({ name, depth, from, to }) => [name, depth, from, to])).toEqual([
    ['Asked', 0, 'eventail-cli', ['asker']],
    ['snake.Do', 1, 'asker', ['snake']],
    ['asker.DoResult', 2, 'snake', ['asker']],
    ['Answered', 3, 'asker', []],
  ])
})

test('trace of what does not happen is exit code 124, and it works without the management API', async ({ url }) => {
  const args = ['trace', 'nothing', '--idle', '0.2', '--management-url', 'http://127.0.0.1:1']
  expect(await eventail(url, args)).toMatchObject({
    code: 124,
    stdout: '',
    stderr: expect.stringContaining('nothing of conversation nothing was seen within 0.2 s'),
  })
})

test('services shows who is on the bus, ours and in Python, in four forms', async ({ url, management: _api }) => {
  await startPythonWorker(url, {
    service: 'adder',
    commands: ['adder.Add'],
    configurations: ['Rates'],
  })
  const teller = defineService({ name: 'teller', handlers: [onEvent('Told.#', () => {}), onCommand('Ask', () => 1)] })
  await using _one = await teller.start({ ...QUIET, urls: [url] })
  const list = async (): Promise<unknown> => {
    const { stdout } = await eventail(url, ['services', '--json', ...api()])
    return objectsOf(stdout).filter(({ name }) => name === 'adder' || name === 'teller')
  }
  await expect.poll(list, SOON).toEqual([
    {
      name: 'adder',
      workers: 1,
      queues: [expect.stringMatching(/^(?:amq\.gen|adder\.commands)/), expect.any(String)],
      ready: 0,
      unacknowledged: 0,
      events: [],
      commands: ['adder.Add'],
      configurations: ['Rates'],
    },
    {
      name: 'teller',
      workers: 1,
      queues: ['teller.commands', 'teller.events'],
      ready: 0,
      unacknowledged: 0,
      events: ['Told.#'],
      commands: ['teller.Ask'],
      configurations: [],
    },
  ])
  const [table, mermaid, dot] = await Promise.all(
    [[], ['--format', 'mermaid'], ['--format', 'dot']].map((form) => eventail(url, ['services', ...form, ...api()])),
  )
  expect(table?.stdout).toMatch(/^SERVICE +WORKERS +WAITING +IN HAND +SUBSCRIPTIONS$/m)
  expect(table?.stdout).toMatch(/^adder +1 +0 +0 +commands: adder\.Add\n +configurations: Rates$/m)
  expect(mermaid?.stdout).toMatch(/^flowchart LR\n/)
  expect(mermaid?.stdout).toContain('(["Told.#35;"])')
  expect(dot?.stdout).toMatch(/^digraph bus \{\n[\s\S]*label="Told\.#"[\s\S]*\n\}\n$/)
})

test('doctor says what is wrong and how to mend it, and exits with 0 once it is mended', async ({
  url,
  probe,
  management,
}) => {
  await using _patient = await defineService({ name: 'patient', handlers: [onEvent('Felt', () => {})] }).start({
    ...QUIET,
    urls: [url],
  })
  await probe.declareQueue('stray')
  await probe.bind('stray', 'events', '#')
  const doctor = (...more: string[]): ReturnType<typeof eventail> =>
    eventail(url, ['doctor', '--watch', '0.1', ...api(), ...more])
  await expect
    .poll(async () => objectsOf((await doctor('--json')).stdout).map(({ subject }) => subject), SOON)
    .toEqual(expect.arrayContaining(['patient.events', 'stray']))
  const ill = await doctor()
  expect(ill.code).toBe(1)
  expect(ill.stdout).toContain(
    'problem  patient.events: has no dead-letter exchange: what fails twice is dropped. Mend: rabbitmqctl',
  )
  expect(ill.stdout).toContain('problem  stray: is bound to events, and nobody reads it')
  expect(ill.stderr).toMatch(/\d+ problems/)
  // what it said is done
  await probe.deleteQueue('stray')
  await probe.declareQueue('letters')
  await probe.bind('letters', 'am-dlx', '#')
  await management.setPolicy('DLX', '.*\\.events|.*\\.commands', { 'dead-letter-exchange': 'am-dlx' })
  for (const queue of [
    'adder.commands',
    'teller.commands',
    'teller.events',
    'snake.commands',
    'asker.events',
    'asker.commands',
  ])
    await probe.deleteQueue(queue)
  await expect.poll(async () => (await doctor()).code, SOON).toBe(0)
  const { stdout, stderr } = await doctor()
  expect(stdout).toBe('')
  expect(stderr).toContain(' is well')
})

test('services and doctor without a management API are exit code 4, with where they looked', async ({ url }) => {
  const nowhere = ['--management-url', 'http://127.0.0.1:1']
  for (const command of ['services', 'doctor']) {
    expect(await eventail(url, [command, ...nowhere])).toMatchObject({
      code: 4,
      stdout: '',
      stderr: expect.stringContaining('no answer from the management API at 127.0.0.1:1'),
    })
  }
})
