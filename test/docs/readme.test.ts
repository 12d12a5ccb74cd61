/** The code blocks of the documents type-check, and the README's do what the text around them says. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { decode } from 'cborg'
import { afterAll, beforeAll, expect } from 'vitest'
import { recordOf, test } from '../bus/bus.ts'
import { Program } from '../dev/programs.ts'
import { blocksOf, documents, fileNameOf, root, textOf } from './documents.ts'

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'eventail-readme-'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  const paths = {
    eventail: [join(root, 'src/index.ts')],
    'eventail/store': [join(root, 'src/store/index.ts')],
    'eventail/health': [join(root, 'src/health/index.ts')],
    'eventail/testing': [join(root, 'src/testing/index.ts')],
  }
  const compilerOptions = { paths }
  const tsconfig = { extends: join(root, 'tsconfig.json'), compilerOptions, include: ['*.ts'] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig))
})

afterAll(() => rmSync(folder, { recursive: true }))

test('every block of TypeScript in the documents type-checks', async () => {
  let count = 0
  for (const document of documents) {
    for (const block of blocksOf(document, 'ts')) {
      count += 1
      writeFileSync(join(folder, fileNameOf(block) ?? `block-${count}.ts`), block)
    }
  }
  expect(count).toBeGreaterThan(2)
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const { stdout } = await promisify(execFile)(process.execPath, [tsc, '--noEmit', '-p', folder]).catch(
    (error: unknown) => error as { stdout: string },
  )
  expect(stdout).toBe('')
}, 60_000)

test('the first services of the README greet, answer and stop as it says', async ({ url, probe }) => {
  const [greeterCode = '', visitorCode = ''] = blocksOf('README.md', 'ts')
  const commands = await probe.listen('commands', 'greeter.Greet')
  const events = await probe.listen('events', 'Greeted')
  const logs = await probe.logs('visitor.INFO')
  await using greeter = await runBlock(greeterCode, 'greeter.ts', url)
  await using visitor = await runBlock(visitorCode, 'visitor.ts', url)

  const command = await commands.next()
  expect(decode(command.content)).toEqual({ who: 'Ada' })
  const event = await events.next()
  expect(decode(event.content)).toEqual({ who: 'Ada' })
  const conversation = command.properties.headers?.['conversation_id'] as string
  expect(event.properties.headers?.['conversation_id']).toBe(conversation)
  const said = (): ReadonlySet<unknown> => {
    const records = logs.received.map(recordOf)
    const own = records.filter(({ _conversation_id }) => _conversation_id === conversation)
    return new Set(own.map(({ short_message }) => short_message))
  }
  await expect.poll(said).toEqual(new Set(['somebody was greeted: {"who":"Ada"}', 'success: {"text":"Hello Ada"}']))

  for (const program of [visitor, greeter]) program.kill('SIGTERM')
  expect([await greeter.ended, await visitor.ended]).toEqual([0, 0])
}, 30_000)

test('the package that a user installs has what the README says, and compiles without lenience', async () => {
  const run = promisify(execFile)
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root })
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
  const home = mkdtempSync(join(tmpdir(), 'eventail-package-'))
  const modules = join(home, 'node_modules')
  mkdirSync(join(modules, 'eventail'), { recursive: true })
  await run('tar', ['-xzf', join(folder, filename), '-C', join(modules, 'eventail'), '--strip-components', '1'])
  for (const name of readdirSync(join(root, 'node_modules')))
    if (name !== 'eventail') symlinkSync(join(root, 'node_modules', name), join(modules, name))
  writeFileSync(join(home, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(home, 'greeter.ts'), blocksOf('README.md', 'ts')[0] ?? '')
  const [, compilerOptions = ''] = /`(\{ "compilerOptions": [\s\S]*?\} \})`/.exec(textOf('README.md')) ?? []
  const tsconfig = JSON.parse(compilerOptions) as { compilerOptions: object }
  const strict = {
    ...tsconfig,
    compilerOptions: { ...tsconfig.compilerOptions, skipLibCheck: false, lib: ['es2023', 'esnext.disposable'] },
  }
  writeFileSync(join(home, 'tsconfig.json'), JSON.stringify({ ...strict, include: ['greeter.ts'] }))
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const compiled = await run(process.execPath, [tsc, '-p', home]).catch((error: unknown) => error as { stdout: string })
  expect(compiled.stdout.split('\n').filter((line) => line.includes('eventail'))).toEqual([])
  const command = join(modules, 'eventail', 'dist', 'cli', 'main.js')
  const help = await run(process.execPath, [command, '--version'])
  expect(help.stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  await using dev = new Program([command, 'dev', join(home, 'greeter.ts'), '--port', '0'])
  await expect.poll(() => dev.output, { timeout: 15_000 }).toContain('ready: consuming greeter.commands')
  dev.kill('SIGINT')
  expect(await dev.ended).toBe(130)
  rmSync(home, { recursive: true })
}, 60_000)

test('the README lists every setting', () => {
  const settings = [...textOf('src/service/settings.ts').matchAll(/^ {2}readonly (\w+)\?:/gm)].map(([, name]) => name)
  const section = textOf('README.md').split('\n## Settings\n')[1]?.split('\n## ')[0] ?? ''
  const rows = section.matchAll(/^\| `(\w+)`(?: \(start, run\))? \|.*\|.*\|$/gm)
  expect(new Set([...rows].map(([, name]) => name))).toEqual(new Set(settings))
})

async function runBlock(code: string, name: string, url: string): Promise<Program> {
  const file = join(folder, name)
  writeFileSync(file, code)
  const program = new Program(['--import', 'tsx', file], {
    TSX_TSCONFIG_PATH: join(folder, 'tsconfig.json'),
    EVENTAIL_AMQP_URL: url,
  })
  await expect.poll(() => program.output, { timeout: 15_000 }).toContain('ready')
  return program
}
