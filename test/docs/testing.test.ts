/** The examples of docs/testing.md are tests, and pass as they stand there: with node:test and with vitest. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { blocksOf, fileNameOf, root } from './documents.ts'

const run = promisify(execFile)
const [url, managementUrl] = [inject('brokerUrl'), inject('managementUrl')]
const onRabbitmq = { EVENTAIL_TEST_URL: url, EVENTAIL_MANAGEMENT_URL: managementUrl }
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'eventail-testing-'))
  // the package as it is built: what tests of users get
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  for (const block of blocksOf('docs/testing.md', 'ts')) writeFileSync(join(folder, fileNameOf(block) ?? ''), block)
  const parts = ['', '/store', '/testing'].map((part) => ({
    find: `^eventail${part}$`,
    replacement: join(root, 'dist', part, 'index.js'),
  }))
  const alias = parts.map(
    ({ find, replacement }) => `{ find: /${find.replace('/', '\\/')}/, replacement: '${replacement}' }`,
  )
  const config = `export default { resolve: { alias: [${alias.join(', ')}] }, test: { include: ['*.spec.ts'] } }`
  writeFileSync(join(folder, 'vitest.config.mjs'), config)
  const paths = Object.fromEntries(parts.map(({ find, replacement }) => [find.slice(1, -1), [replacement]]))
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { paths, target: 'es2023' } }))
})

afterAll(() => rmSync(folder, { recursive: true }))

/** What the program printed, whatever its exit code. */
async function outputOf(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const options = { cwd: folder, env: { ...process.env, NODE_OPTIONS: '', VITEST: undefined, ...env } }
  const { stdout, stderr } = await run(process.execPath, args, options).catch(
    (error: unknown) => error as { stdout: string; stderr: string },
  )
  return stdout + stderr
}

const NODE_TEST = ['--import', 'tsx', '--test', '--test-reporter', 'tap', 'shop.test.ts']

test('the tests with node:test pass on the broker in their process', async () => {
  expect(await outputOf(NODE_TEST)).toMatch(/^# pass 4\n# fail 0$/m)
}, 60_000)

test.skipIf(managementUrl === '')(
  'the tests with node:test pass on RabbitMQ',
  async () => {
    expect(await outputOf(NODE_TEST, onRabbitmq)).toMatch(/^# pass 4\n# fail 0$/m)
  },
  60_000,
)

test('the tests with vitest, which cause faults, pass', async () => {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
  expect(await outputOf([vitest, 'run', '--reporter', 'json'])).toContain('"numPassedTests":4,"numFailedTests":0')
}, 60_000)
