/** The wall clock of a service jumps by an hour, as when a machine's clock is set right. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { test } from '../bus/bus.ts'

const TICKER = fileURLToPath(new URL('programs/ticker.mjs', import.meta.url))
const HOUR_MS = 3_600_000

interface Line {
  readonly handled?: number
  readonly wall?: number
  readonly monotonic?: number
  readonly flaky?: boolean
  readonly level?: string
  readonly short?: string
}

/** The library that shifts the clocks of a process, where Debian has it. */
function clockLibrary(): string {
  const file = readdirSync('/usr/lib')
    .map((name) => join('/usr/lib', name, 'faketime', 'libfaketime.so.1'))
    .find((candidate) => existsSync(candidate))
  if (file === undefined) throw new Error('no libfaketime: install the Debian package faketime')
  return file
}

test('nothing happens: no connection is lost, timers go on, messages are retried', async ({ url, probe }) => {
  const directory = mkdtempSync(join(tmpdir(), 'eventail-clock-'))
  const offsets = join(directory, 'offset')
  writeFileSync(offsets, '+0\n')
  const child: ChildProcess = spawn(process.execPath, [TICKER, url], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      LD_PRELOAD: clockLibrary(),
      FAKETIME_TIMESTAMP_FILE: offsets,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    },
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  })
  const lines: Line[] = []
  if (child.stdout !== null) createInterface(child.stdout).on('line', (line) => lines.push(JSON.parse(line) as Line))
  const handled = (): Line[] => lines.filter((line) => line.handled !== undefined)
  const more = async (count: number): Promise<void> => {
    const before = handled().length
    await expect.poll(() => handled().length, { timeout: 30_000 }).toBeGreaterThanOrEqual(before + count)
  }
  await more(10)
  for (const offset of ['+3600', '-3600', '+0']) {
    writeFileSync(offsets, `${offset}\n`)
    await probe.event('Flaky')
    // beyond two heartbeats of 2 s
    await more(60)
  }
  const ticks = handled()
  const ahead = ticks.map(({ wall = 0 }) => wall - Date.now())
  expect(Math.max(...ahead)).toBeGreaterThan(0.9 * HOUR_MS)
  expect(Math.min(...ahead)).toBeLessThan(-0.9 * HOUR_MS)
  // every tick once, in order, and at its time
  expect(ticks.map(({ handled: seq }) => seq)).toEqual(ticks.map((_, n) => n + 1))
  const waits = ticks.slice(1).map(({ monotonic = 0 }, n) => monotonic - (ticks[n]?.monotonic ?? 0))
  const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length
  expect(mean).toBeGreaterThan(90)
  expect(mean).toBeLessThan(130)
  await expect
    .poll(() => lines.filter(({ flaky }) => flaky !== undefined).map(({ flaky }) => flaky))
    .toEqual([false, true, false, true, false, true])
  expect(lines.filter(({ level }) => level === 'WARNING' || level === 'NOTICE')).toEqual([])
})
