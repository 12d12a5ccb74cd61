/** Completion in the shells themselves, as far as the machine has them. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventail } from './eventail.ts'

let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'eventail-completion-'))
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await eventail('', ['completion', shell])
    expect(code).toBe(0)
    writeFileSync(join(folder, `eventail.${shell}`), stdout)
  }
})
afterAll(() => rmSync(folder, { recursive: true }))

const has = (shell: string): boolean => spawnSync(shell, ['-c', 'exit']).status === 0

describe('in bash', () => {
  /** What is offered behind these words, the last of which is being typed. */
  function offered(...words: string[]): string[] {
    const script = `source eventail.bash; COMP_WORDS=("$@"); COMP_CWORD=$((${words.length} - 1)); _eventail; printf '%s\\n' "\${COMPREPLY[@]}"`
    return execFileSync('bash', ['-c', script, 'bash', ...words], { cwd: folder, encoding: 'utf8' })
      .trim()
      .split('\n')
  }

  test('commands, the options of each, and their values are offered', () => {
    expect(offered('eventail', '')).toEqual(expect.arrayContaining(['logger', 'resurrect', 'trace', 'completion']))
    expect(offered('eventail', 'dev', '--po')).toEqual(['--port'])
    expect(offered('eventail', 'res')).toEqual(['resurrect'])
    expect(offered('eventail', 'ready', '--w')).toEqual(['--wait'])
    expect(offered('eventail', 'resurrect', '--dry')).toEqual(['--dry-run'])
    expect(offered('eventail', 'publish_event', '--man')).toEqual(['--mandatory'])
    expect(offered('eventail', 'logger', '--level', 'E')).toEqual(['EMERGENCY', 'ERROR'])
    expect(offered('eventail', 'services', '--format', 'm')).toEqual(['mermaid'])
    expect(offered('eventail', 'publish-event', 'Told', 'eventail.b')).toEqual(['eventail.bash'])
  })
})

test.runIf(has('zsh'))('in zsh the script is accepted, and defines the function', () => {
  const script =
    'autoload -U compinit; compinit -u -D; source eventail.zsh; whence -w _eventail; print $_comps[eventail]'
  const { stdout, stderr } = spawnSync('zsh', ['-f', '-c', script], { cwd: folder, encoding: 'utf8' })
  expect(stderr).toBe('')
  expect(stdout).toBe('_eventail: function\n_eventail\n')
})

test.runIf(has('fish'))('in fish commands and options are offered', () => {
  const offered = (line: string): string =>
    execFileSync('fish', ['--no-config', '-c', `source eventail.fish; complete -C '${line}'`], {
      cwd: folder,
      encoding: 'utf8',
    })
  expect(offered('eventail re')).toMatch(/^resurrect\t/m)
  expect(offered('eventail resurrect --dry')).toMatch(/^--dry-run\t/m)
  expect(offered('eventail services --format m')).toMatch(/^mermaid/m)
})

test('another shell is refused with those that there are', async () => {
  expect(await eventail('', ['completion', 'csh'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('bash, zsh, fish'),
  })
})
