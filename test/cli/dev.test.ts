/** `eventail dev` as a person at work meets it: services that are saved, fail, crash and are stopped, with real processes. */
import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test as plain } from 'vitest'
import { Probe, test } from '../bus/bus.ts'
import { processesWith } from '../dev/programs.ts'
import { Eventail, eventail } from './eventail.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const WAIT = { timeout: 30_000 }

/** A project of a user's own. */
let folder: string

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'eventail-dev-')))
  write('package.json', '{ "type": "module" }')
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules', 'eventail'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function write(name: string, text: string): string {
  const file = join(folder, name)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  return file
}

/** A service that says on the bus which version of it works. */
function teller(name: string, version: string): string {
  return `import { defineService } from 'eventail'
    ${version.startsWith('import') ? version : `const version = '${version}'`}
    await defineService({ name: '${name}', hooks: { onReady: ({ publish }) => publish('Told', { ${name}: version }) } }).run()`
}

function dev(...args: readonly string[]): Eventail {
  return new Eventail('', ['dev', ...args], undefined, folder)
}

function shows(running: Eventail, text: string | RegExp): Promise<void> {
  return expect.poll(() => running.stdout, WAIT).toMatch(text)
}

/** Of the development broker. */
function urlOf({ stdout }: Eventail): string {
  return /^development broker on (amqp:\S+)$/m.exec(stdout)?.[1] ?? ''
}

async function expectNothingLeft(...texts: readonly string[]): Promise<void> {
  await expect.poll(() => processesWith(...texts), WAIT).toEqual([])
}

plain(
  'runs services with nothing but Node, shows what they say, fail at and bury, and ends in good order',
  async () => {
    write(
      'src/adder.mjs',
      `import { defineService, onCommand } from 'eventail'
       console.log('adder \\u001b[31mhere, for amqp://u:canary@host')
       const add = ({ payload: { a, b }, log }) => {
         if (a === 0) throw new Error('nothing to add')
         log.info('adding')
         return { sum: a + b }
       }
       await defineService({ name: 'adder', handlers: [onCommand('adder.Add', add)] }).run()`,
    )
    await using running = dev('src/adder.mjs', '--port', '0')
    await shows(running, / INFO +adder +ready: consuming adder\.commands/)
    expect(running.stdout).toMatch(/^adder\.mjs \| adder \\x1b\[31mhere, for amqp:\/\/u:\*\*\*@host$/m)
    // its logs come from the bus alone
    expect(running.stdout.match(/^adder\.mjs \| /gm)).toHaveLength(1)
    const url = urlOf(running)
    const known = /EVENTAIL_MANAGEMENT_URL=(\S+)/.exec(running.stdout)?.[1] ?? 'http://127.0.0.1:15672'
    const management = ['--management-url', known]

    expect(await eventail(url, ['send-command', 'adder.Add', '-'], '{"a": 1, "b": 2}')).toMatchObject({ code: 0 })
    await shows(running, / command +eventail-cli +adder\.Add +\{"a":1,"b":2\}/)
    await shows(running, / result +adder +\S+ +\{"sum":3\}/)
    await shows(running, / INFO +adder +adding/)
    // the view is nobody who takes a message
    expect(await eventail(url, ['publish-event', 'Nothing', '-', '--mandatory'], '1')).toMatchObject({ code: 7 })
    const failing = await eventail(url, ['send-command', 'adder.Add', '-', '--timeout', '0.1'], '{"a": 0}')
    expect(failing).toMatchObject({ code: 124, stderr: expect.stringContaining('or have died: eventail dead tells') })
    await shows(running, / dead +eventail-cli +dead: adder\.Add, rejected by adder\.commands +\{"a":0\}/)
    // the stack, as far as it is about the service
    expect(running.stdout).toMatch(
      / ALERT +adder +.*nothing to add\n {4}Error: nothing to add\n {4} +at .*adder\.mjs:4:/,
    )
    expect(running.stdout).not.toMatch(/\n {4} +at .*node:internal/)

    expect((await eventail(url, ['services', ...management])).stdout).toMatch(/adder +1 /)
    expect((await eventail(url, ['doctor', '--watch', '0', ...management])).stdout).not.toContain(
      'dead-letter exchange',
    )
    expect((await eventail(url, ['ready', 'adder', ...management])).code).toBe(0)
    expect((await eventail(url, ['dead', ...management])).stdout).toMatch(/1 +adder\.Add +rejected by adder\.commands/)

    running.child.kill('SIGINT')
    const { code, stdout, stderr } = await running.ended
    expect(code).toBe(130)
    expect(stdout).toMatch(/\n-- stopping\n(?:.*\n)*.* WARNING +adder +Shutting down…\n.*\d+ s: .*, 1 dead letter\n$/)
    expect(stdout + stderr).not.toContain('canary')
    expect(stdout, 'colours are for terminals').not.toContain('\u001b')
    await expectNothingLeft(url)
  },
  60_000,
)

plain(
  'services share the store that is started beside the broker',
  async () => {
    const share = `import { createTempStore } from 'eventail/store'
      const store = createTempStore({ namespace: 'shared:' })`
    write(
      'keeper.mjs',
      `import { defineService, onCommand } from 'eventail'
       ${share}
       const keep = async ({ payload }) => { await store.set('kept', payload) }
       await defineService({ name: 'keeper', handlers: [onCommand('keeper.Keep', keep)] }).run()`,
    )
    write(
      'finder.mjs',
      `import { defineService, onResult } from 'eventail'
       ${share}
       const find = async ({ publish }) => { await publish('Found', await store.pop('kept')) }
       await defineService({ name: 'finder', handlers: [onResult('KeepResult', find)],
         hooks: { onReady: ({ sendCommand }) => sendCommand('keeper.Keep', { pony: 1 }) } }).run()`,
    )
    await using running = dev('keeper.mjs', 'finder.mjs', '--port', '0')
    await shows(running, / event +finder +Found +\{"pony":1\}/)
    expect(running.stdout).toMatch(
      /^ {2}A store for createTempStore, in memory too, is on redis:\/\/127\.0\.0\.1:\d+; in TypeScript it takes: npm install @redis\/client$/m,
    )
  },
  60_000,
)

plain(
  'a service is started again when it is saved, in place or by another file; one that was not saved is left alone',
  async () => {
    write('one.mjs', teller('one', 'v1'))
    write('two.mjs', teller('two', 'v1'))
    await using running = dev('one.mjs', 'two.mjs', '--port', '0')
    await shows(running, /Told +\{"two":"v1"\}/)
    write('one.mjs', teller('one', 'v2'))
    await shows(running, /Told +\{"one":"v2"\}/)
    renameSync(write('one.mjs.new', teller('one', 'v3')), join(folder, 'one.mjs'))
    await shows(running, /Told +\{"one":"v3"\}/)
    renameSync(write('one.mjs.new', teller('one', 'v4')), join(folder, 'one.mjs'))
    await shows(running, /Told +\{"one":"v4"\}/)
    // in good order
    expect(running.stdout).toMatch(/-- one\.mjs is started again: its code changed\n.* WARNING +one +Shutting down…/)
    expect(running.stdout).not.toContain('two.mjs is started again')
    expect(running.stdout).not.toContain('died')
  },
  60_000,
)

plain(
  'packages, hidden files, tests, data and other languages are no code of a service',
  async () => {
    write('one.mjs', teller('one', 'v1'))
    write('two.mjs', teller('two', 'v1'))
    write('.hidden/some.mjs', 'export {}')
    await using running = dev('one.mjs', 'two.mjs', '--port', '0')
    await shows(running, /Told +\{"two":"v1"\}/)
    write('node_modules/other/index.mjs', 'export {}')
    write('.hidden/some.mjs', '// changed')
    write('data.json', '{}')
    for (const name of ['one.test.mjs', 'lib/two.spec.ts', 'three.py']) write(name, '')
    // what is seen of the others is seen before this, or with it
    write('one.mjs', teller('one', 'v2'))
    await shows(running, /Told +\{"one":"v2"\}/)
    expect(running.stdout).not.toContain('two.mjs is started again')
  },
  60_000,
)

plain(
  'all services of a project are started again when code changes that they may import, in new folders as well',
  async () => {
    write('lib/word.mjs', "export const version = 'w1'")
    write('one.mjs', teller('one', "import { version } from './lib/word.mjs'"))
    write('two.mjs', teller('two', 'v1'))
    await using running = dev('one.mjs', 'two.mjs', '--port', '0')
    const starts = (name: string): number => running.stdout.split(`-- ${name} is started again`).length - 1
    await shows(running, /Told +\{"two":"v1"\}/)
    write('lib/word.mjs', "export const version = 'w2'")
    await shows(running, /Told +\{"one":"w2"\}/)
    await expect.poll(() => running.stdout.match(/Told +\{"two":"v1"\}/g)?.length, WAIT).toBe(2)
    // one that was not there, and one that comes with all that is in it
    mkdirSync(join(folder, 'later'))
    renameSync(dirname(write('node_modules/aside/word.mjs', "export const version = 'w3'")), join(folder, 'moved'))
    await expect.poll(() => starts('two.mjs'), WAIT).toBe(2)
    write('later/word.mjs', "export const version = 'w3'")
    await expect.poll(() => starts('two.mjs'), WAIT).toBe(3)
    write('moved/word.mjs', "export const version = 'w4'")
    await expect.poll(() => starts('two.mjs'), WAIT).toBe(4)
    write('one.mjs', teller('one', "import { version } from './moved/word.mjs'"))
    await shows(running, /Told +\{"one":"w4"\}/)
  },
  60_000,
)

plain(
  'a service that crashes is started again, ever more slowly while it fails; saving it mended starts it at once',
  async () => {
    write('broken.mjs', 'import { defineService from "eventail"')
    await using running = dev('broken.mjs', '--port', '0')
    await shows(running, /broken\.mjs \| SyntaxError: /)
    await shows(running, /-- broken\.mjs died \(exit code 1\); it is started again in 1 s, or when its code changes/)
    await shows(running, /-- broken\.mjs died \(exit code 1\); it is started again in 2 s, /)
    await shows(running, /-- broken\.mjs died \(exit code 1\); it is started again in 4 s, /)
    const before = performance.now()
    write('broken.mjs', teller('broken', 'mended'))
    await shows(running, /Told +\{"broken":"mended"\}/)
    expect(performance.now() - before, 'at once, and not when the delay is over').toBeLessThan(4_000)
    const [pid] = processesWith(join(folder, 'broken.mjs'), urlOf(running))
    process.kill(Number(pid), 'SIGKILL')
    await shows(running, /-- broken\.mjs died \(SIGKILL\); it is started again in 1 s, /)
    await expect.poll(() => running.stdout.match(/Told/g)?.length, WAIT).toBe(2)
  },
  60_000,
)

plain(
  'a program that has done its work is started again only when its code changes; its environment has the broker, in Python too',
  async () => {
    write('once.py', 'import os\nprint("once", os.environ["EVENTAIL_AMQP_URL"])')
    // lets more time pass than a service that failed would have to wait
    write('broken.mjs', 'process.exit(7)')
    await using running = dev('once.py', 'broken.mjs', '--port', '0')
    await shows(running, /-- once\.py has ended; it is started again when its code changes/)
    await shows(running, /-- broken\.mjs died \(exit code 7\); it is started again in 4 s/)
    expect(running.stdout.match(/^once\.py \| .*$/gm)).toEqual([`once.py | once ${urlOf(running)}`])
    write('once.py', 'print("twice")')
    await shows(running, /once\.py \| twice/)
    expect(running.stdout).not.toContain('once.py died')
  },
  60_000,
)

plain(
  'what a service left behind in a process group of its own, with its output, is not waited for',
  async () => {
    const leaving = (version: string): string => `import { spawn } from 'node:child_process'
      const { pid } = spawn('sleep', ['300'], { detached: true, stdio: 'inherit' })
      console.log('${version} left', pid)
      setInterval(() => {}, 1000)`
    write('leaving.mjs', leaving('v1'))
    await using running = dev('leaving.mjs', '--port', '0')
    try {
      await shows(running, /v1 left \d+/)
      write('leaving.mjs', leaving('v2'))
      await shows(running, /v2 left \d+/)
      running.child.kill('SIGTERM')
      expect((await running.ended).code).toBe(130)
      expect(running.stdout).not.toContain('is killed')
    } finally {
      for (const [, pid] of running.stdout.matchAll(/left (\d+)/g)) process.kill(Number(pid), 'SIGKILL')
    }
  },
  60_000,
)

plain(
  'TypeScript is run by the tsx of the project',
  async () => {
    symlinkSync(join(root, 'node_modules', 'tsx'), join(folder, 'node_modules', 'tsx'))
    // more than leaving out the types would do
    write('typed.ts', `enum Version { Typed = 'typed' }\n${teller('typed', 'x').replace("'x'", 'Version.Typed')}`)
    await using running = dev('typed.ts', '--port', '0')
    await shows(running, /Told +\{"typed":"typed"\}/)
  },
  60_000,
)

plain(
  'services are started in the order in which they are given, each once the one before works',
  async () => {
    write(
      'slow.mjs',
      `import { setTimeout } from 'node:timers/promises'
       import { defineService, onCommand } from 'eventail'
       await setTimeout(1000)
       await defineService({ name: 'slow', handlers: [onCommand('slow.Do', () => 'done')] }).run()`,
    )
    write(
      'eager.mjs',
      `import { defineService, onResult } from 'eventail'
       const hooks = { onReady: ({ sendCommand }) => sendCommand('slow.Do', 1, { replyTo: 'Done' }) }
       await defineService({ name: 'eager', handlers: [onResult('Done', () => {})], hooks }).run()`,
    )
    await using running = dev('slow.mjs', 'eager.mjs', '--port', '0', '--level', 'ERROR')
    await shows(running, /result +slow +eager\.Done +"done"/)
    expect(running.stdout).not.toMatch(/ (?:ERROR|INFO) /)
  },
  60_000,
)

plain('the management API takes another port where its own is taken', async () => {
  // if it cannot be had here, somebody else has it
  const taken = createServer().on('error', () => {})
  taken.listen(15_672, '127.0.0.1')
  await using running = dev('--port', '0')
  await shows(running, /export EVENTAIL_MANAGEMENT_URL=http:\/\/127\.0\.0\.1:\d+$/m)
  const managementUrl = /EVENTAIL_MANAGEMENT_URL=(\S+)/.exec(running.stdout)?.[1] ?? ''
  const { code, stderr } = await eventail(urlOf(running), ['services', '--management-url', managementUrl])
  expect([code, stderr]).toEqual([0, expect.not.stringContaining('no answer')])
  taken.close()
})

describe('nothing is left behind', () => {
  /** It has a child of its own, heeds no signal, and its event loop never turns. */
  const STUBBORN = `import { spawn } from 'node:child_process'
    spawn('sleep', ['300'])
    process.on('SIGTERM', () => {})
    console.log('blocked')
    const end = Date.now() + 300_000
    while (Date.now() < end) {}`

  plain(
    'by a kill -9',
    async () => {
      write('stubborn.mjs', STUBBORN)
      await using running = dev('stubborn.mjs', '--port', '0')
      await shows(running, /blocked/)
      expect(processesWith(urlOf(running))).toHaveLength(2)
      running.child.kill('SIGKILL')
      await expectNothingLeft(urlOf(running))
    },
    60_000,
  )

  plain(
    'by a second signal, which ends it at once',
    async () => {
      write('stubborn.mjs', STUBBORN)
      await using running = dev('stubborn.mjs', '--port', '0')
      await shows(running, /blocked/)
      running.child.kill('SIGTERM')
      await shows(running, /-- stopping/)
      running.child.kill('SIGTERM')
      expect((await running.ended).code).toBe(130)
      expect(running.stdout).not.toContain('is killed')
      await expectNothingLeft(urlOf(running))
    },
    60_000,
  )

  plain(
    'by a service that does not stop',
    async () => {
      write('stubborn.mjs', STUBBORN)
      await using running = dev('stubborn.mjs', '--port', '0')
      await shows(running, /blocked/)
      running.child.kill('SIGTERM')
      expect((await running.ended).code).toBe(130)
      expect(running.stdout).toContain('-- stubborn.mjs does not stop, and is killed\n')
      await expectNothingLeft(urlOf(running))
    },
    60_000,
  )

  plain(
    'by a reader that goes away',
    async () => {
      write('one.mjs', teller('one', 'v1'))
      await using running = dev('one.mjs', '--port', '0')
      await shows(running, /Told/)
      running.child.stdout.destroy()
      // whatever it says next
      write('one.mjs', teller('one', 'v2'))
      expect(await running.ended).toMatchObject({ code: 0, stderr: '' })
      await expectNothingLeft(urlOf(running))
    },
    60_000,
  )
})

test('another broker is used as it is: nothing is set on it, and its password shows nowhere', async ({
  url,
  management,
}) => {
  write('one.mjs', teller('one', 'v1'))
  await using running = dev('one.mjs', '--broker', url.replace(/:\/\/(?:.*@)?/, '://guest:guest@'))
  await shows(running, /Told +\{"one":"v1"\}/)
  expect(running.stdout).toContain("There is no exchange 'am-dlx': dead letters do not show, and no policy is set here")
  expect(await management.api('GET', `policies/${encodeURIComponent(new URL(url).pathname.slice(1))}`)).toEqual([])
  running.child.kill('SIGHUP')
  expect((await running.ended).code).toBe(130)
  expect(running.stdout + running.stderr).not.toContain('guest:guest')
}, 60_000)

plain(
  'what is wrong with a command line is told with the mend',
  async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    const address = taken.address()
    const port = typeof address === 'object' ? String(address?.port) : ''
    write('one.mjs', '')
    write('one.txt', '')
    const wrong: readonly (readonly [string[], number, RegExp])[] = [
      [
        ['--port', port],
        1,
        new RegExp(`port ${port} of 127\\.0\\.0\\.1 cannot be used: .*EADDRINUSE.* --port .* --broker`),
      ],
      [['none.mjs', '--port', '0'], 2, /none\.mjs: there is no such file/],
      [['one.txt', '--port', '0'], 2, /one\.txt: .*give files that end with \.ts, /],
      [['one.mjs', '--port', '65536'], 2, /--port must be at most 65535/],
      [['--port', '0', '--broker', 'amqp://127.0.0.1:1'], 2, /--port and --host are for the development broker/],
      [['--broker', 'amqp://127.0.0.1:1'], 4, /ECONNREFUSED/],
      [['--level', 'LOUD', '--port', '0'], 2, /--level must be one of EMERGENCY, /],
    ]
    for (const [args, code, text] of wrong) {
      const ended = await dev(...args).ended
      expect([args, ended.code, ended.stdout]).toEqual([args, code, ''])
      expect(ended.stderr).toMatch(text)
    }
    taken.close()
  },
  60_000,
)

plain.skipIf(Boolean(Reflect.get(process.features, 'typescript')))(
  'TypeScript without tsx, on a Node that runs none by itself, is told of with the mend',
  async () => {
    write('typed.ts', '')
    const { code, stderr } = await dev('typed.ts', '--port', '0').ended
    expect(code).toBe(2)
    expect(stderr).toMatch(/typed\.ts: .* npm install --save-dev tsx, or use Node 22\.18 or later/)
  },
)

plain('a broker in the environment is not used unawares', async () => {
  await using running = new Eventail('amqp://u:canary@127.0.0.1:1', ['dev', '--port', '0'], undefined, folder)
  await shows(running, /development broker on/)
  expect(running.stderr).toMatch(/EVENTAIL_AMQP_URL is not used: .* --broker/)
  const probe = await Probe.open(urlOf(running))
  await probe.event('Told', { n: 1 }, { appId: 'somebody' })
  await shows(running, / event +somebody +Told +\{"n":1\}/)
  await probe.close()
  running.child.kill('SIGTERM')
  expect((await running.ended).code).toBe(130)
})

plain('a broker that other machines can reach is warned of, and found by services here', async () => {
  write('one.mjs', teller('one', 'v1'))
  await using running = dev('one.mjs', '--host', '0.0.0.0', '--port', '0')
  await shows(running, /Told +\{"one":"v1"\}/)
  expect(urlOf(running)).toMatch(/^amqp:\/\/127\.0\.0\.1:/)
  expect(running.stderr).toBe('warning: whoever reaches 0.0.0.0 of this machine can use the development broker\n')
})
