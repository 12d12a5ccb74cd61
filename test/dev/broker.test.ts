import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startBroker } from '../../dev/broker.mjs'
import { Probe } from '../bus/bus.ts'

const LOOPBACK = '0100007F' // 127.0.0.1 in /proc/net/tcp
const LISTENING = '0A'

type Broker = Awaited<ReturnType<typeof startBroker>>

/** Processes of a broker: each has the directory of its data in its environment. Zombies have none. */
function processesOf(dataDir: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(dataDir)
      } catch {
        return false
      }
    })
    .map(Number)
}

function nothingIsLeftOf(dataDir: string): void {
  expect(processesOf(dataDir)).toEqual([])
  expect(existsSync(dataDir)).toBe(false)
}

/** Where a link points to; '' when it is there no more. */
function linkAt(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

/** IPv4 addresses on which a process listens, as the kernel writes them; IPv6 ones as they are. */
function listeningAddressesOf(pid: number): string[] {
  const sockets = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => linkAt(`/proc/${pid}/fd/${fd}`)))
  return ['tcp', 'tcp6']
    .flatMap((table) => readFileSync(`/proc/${pid}/net/${table}`, 'utf8').trim().split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === LISTENING && sockets.has(`socket:[${inode}]`))
    .map(([, address = '']) => address.split(':')[0] ?? '')
}

/** A program that has a broker, up to the point where it says so. */
async function programWithBroker(): Promise<{ program: ChildProcess; dataDir: string }> {
  const program = spawn(process.execPath, [fileURLToPath(new URL('../../dev/broker.mjs', import.meta.url))], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  for await (const line of createInterface({ input: program.stderr })) {
    const dataDir = /its data is in ([^;]+);/.exec(line)?.[1]
    if (dataDir !== undefined) return { program, dataDir }
  }
  throw new Error('dev/broker.mjs ended before its broker was ready')
}

describe.skipIf(process.platform !== 'linux')('a private broker', () => {
  let broker: Broker
  beforeAll(async () => {
    broker = await startBroker()
  })
  afterAll(() => broker.dispose())

  test('obeys rabbitmqctl', async () => {
    expect(await broker.ctl('list_vhosts', '--no-table-headers')).toBe('/\n')
  })

  test('evaluates Erlang, and says what it could not evaluate', async () => {
    expect(await broker.evaluate('node()')).toBe(`'${broker.nodeName}'`)
    await expect(broker.evaluate('1 = 2')).rejects.toThrow("the broker did not evaluate '1 = 2': {error, ")
  })

  test('listens on the loopback address only', () => {
    const addresses = listeningAddressesOf(broker.pid())
    expect(addresses.length).toBeGreaterThan(1)
    expect(new Set(addresses)).toEqual(new Set([LOOPBACK]))
  })

  test('says nothing while it is frozen, and goes on when it thaws', async () => {
    broker.freeze()
    const opening = Probe.open(broker.url)
    const first = await Promise.race([opening, new Promise((resolve) => setTimeout(resolve, 300, 'silence'))])
    broker.thaw()
    expect(first).toBe('silence')
    await (await opening).close()
  })

  test('leaves nothing behind when its program is killed, and leaves other brokers alone', async () => {
    const { program, dataDir } = await programWithBroker()
    expect(processesOf(dataDir).length).toBeGreaterThanOrEqual(2)
    program.kill('SIGKILL')
    await vi.waitFor(() => nothingIsLeftOf(dataDir), { timeout: 10_000 })
    await (await Probe.open(broker.url)).close()
  }, 60_000)

  test('leaves nothing behind when it is disposed of, even frozen', async () => {
    broker.freeze()
    await broker.dispose()
    nothingIsLeftOf(broker.dataDir)
  })
})
