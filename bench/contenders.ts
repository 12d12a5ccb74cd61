/** Who takes part: the programs of `contenders/`, and peers that are named on the command line. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Contender } from './measure.ts'

/** The first is the toolkit, the second what ratios are given to. */
const PROGRAMS = ['eventail', 'cloudamqp', 'amqplib', 'rascal', 'golevelup', 'amqp-connection-manager']

/** Those that take part where what they need is there. */
const OPTIONAL = ['python', 'librabbitmq']

/**
 * @param wanted names; undefined for all
 * @param peers as `name=command arguments…`
 */
export function findContenders(wanted: readonly string[] | undefined, peers: readonly string[]): Contender[] {
  const all: Contender[] = PROGRAMS.map((name) => ({
    name,
    command: [process.execPath, fileURLToPath(new URL(`contenders/${name}.mjs`, import.meta.url))],
  }))
  const isWanted = (name: string): boolean => wanted?.includes(name) ?? true
  if (isWanted('python')) all.push(...findPython())
  if (isWanted('librabbitmq')) all.push(...buildC())
  const named = peers.map((peer): Contender => {
    const name = peer.slice(0, Math.max(0, peer.indexOf('=')))
    const line = peer.slice(peer.indexOf('=') + 1)
    const [program, ...args] = line.split(' ').filter((word) => word !== '')
    if (name === '' || program === undefined) throw new Error(`--peer ${peer}: must be NAME=COMMAND`)
    return { name, command: [program, ...args] }
  })
  const unknown = wanted?.find((name) => !all.some((each) => each.name === name))
  if (unknown !== undefined && !OPTIONAL.includes(unknown))
    throw new Error(`no contender '${unknown}': there are ${[...PROGRAMS, ...OPTIONAL].join(', ')}`)
  return [...all.filter(({ name }) => isWanted(name)), ...named]
}

/** By hand in Python, where Debian's `python3-pika` and `python3-cbor2` are there. */
function findPython(): Contender[] {
  const python = '/usr/bin/python3'
  try {
    execFileSync(python, ['-c', 'import pika, cbor2'], { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch {
    process.stderr.write('python is left out: python3-pika or python3-cbor2 is not installed\n')
    return []
  }
  return [{ name: 'python', command: [python, fileURLToPath(new URL('contenders/python.py', import.meta.url))] }]
}

/** The limit: a program in C, where the library and a compiler are there. */
function buildC(): Contender[] {
  const program = join(mkdtempSync(join(tmpdir(), 'eventail-bench-')), 'librabbitmq')
  const source = fileURLToPath(new URL('contenders/librabbitmq.c', import.meta.url))
  try {
    execFileSync('cc', ['-O2', '-o', program, source, '-lrabbitmq'], { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (error) {
    process.stderr.write(`librabbitmq is left out, for it cannot be built: ${String(error).split('\n', 2).join(' ')}\n`)
    return []
  }
  return [{ name: 'librabbitmq', command: [program] }]
}
