/** Who takes part: the programs of `contenders/`, and peers that are named on the command line. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Contender } from './measure.ts'

/** The first is the toolkit, the second what ratios are given to. */
const PROGRAMS = ['eventail', 'cloudamqp', 'amqplib', 'rascal', 'golevelup', 'amqp-connection-manager']

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
  if (isWanted('librabbitmq')) all.push(...buildC())
  const named = peers.map((peer): Contender => {
    const name = peer.slice(0, Math.max(0, peer.indexOf('=')))
    const line = peer.slice(peer.indexOf('=') + 1)
    const [program, ...args] = line.split(' ').filter((word) => word !== '')
    if (name === '' || program === undefined) throw new Error(`--peer ${peer}: must be NAME=COMMAND`)
    return { name, command: [program, ...args] }
  })
  const unknown = wanted?.find((name) => !all.some((each) => each.name === name))
  if (unknown !== undefined && unknown !== 'librabbitmq')
    throw new Error(`no contender '${unknown}': there are ${all.map(({ name }) => name).join(', ')}`)
  return [...all.filter(({ name }) => isWanted(name)), ...named]
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
