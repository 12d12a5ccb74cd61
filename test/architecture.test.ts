/** The rules of the source tree that a compiler does not check: who imports whom, and who touches what. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const MOST_LINES = 400

interface Source {
  /** Relative to `src`. */
  readonly path: string
  /** Its folder; for a file of `src` itself, its name without extension. */
  readonly part: string
  readonly text: string
  /** Modules, as they are written. */
  readonly imports: readonly string[]
}

const sources: readonly Source[] = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => {
    const text = readFileSync(join(root, 'src', path), 'utf8')
    const imports = [...text.matchAll(/\b(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, module = '']) => module)
    return { path, part: partOf(path), text, imports }
  })

/** What each folder may import, as the table of CONTRIBUTING.md has it. */
const allowed: ReadonlyMap<string, ReadonlySet<string>> = new Map(rowsOfTable().map(([part, names]) => [part, names]))

test('the table of folders in CONTRIBUTING.md has the folders that exist', () => {
  const folders = new Set(sources.filter(({ path }) => path.includes('/')).map(({ part }) => part))
  expect(new Set(allowed.keys())).toEqual(folders)
})

describe('imports between folders', () => {
  test('are those that the table of CONTRIBUTING.md allows', () => {
    const inFolders = sources.filter(({ path }) => path.includes('/'))
    const wrong = inFolders.flatMap(({ path, part, imports }) =>
      imports
        .filter((module) => module.startsWith('.'))
        .map((module) => partOf(normalize(join(dirname(path), module))))
        .filter((imported) => imported !== part && allowed.get(part)?.has(imported) !== true)
        .map((imported) => `${path} imports ${imported}`),
    )
    expect(wrong).toEqual([])
  })

  test('go one way', () => {
    const circles = [...allowed.keys()].filter((part) => reaches(part, part))
    expect(circles).toEqual([])
  })
})

test('only src/transport knows the AMQP library', () => {
  expect(partsThat(({ imports }) => imports.some((module) => /amqp/.test(module) && !module.startsWith('.')))).toEqual([
    'transport',
  ])
})

test.each([
  ['@redis/client', 'store'],
  ['prom-client', 'health'],
])('only one folder knows the optional %s: src/%s', (library, folder) => {
  expect(partsThat(({ imports }) => imports.includes(library))).toEqual([folder])
})

test('only programs, and what starts some, touch the process; others read its environment and number, and write to stderr', () => {
  const harmless = new Set(['process.stderr', 'process.pid', 'process.env'])
  const touching = sources.filter(({ text }) =>
    [...codeOf(text).matchAll(/\bprocess\.\w+/g)].some(([use]) => !harmless.has(use)),
  )
  expect(touching.map(({ path }) => path).toSorted()).toEqual([
    'cli/main.ts',
    // ends process groups
    'dev/guard.ts',
    'dev/guarded.ts',
    // what this Node is, and what it can do
    'dev/launch.ts',
    'service/run.ts',
  ])
  expect(sources.filter(({ imports }) => imports.includes('node:process'))).toEqual([])
  expect(sources.filter(({ text }) => /\bconsole\./.test(codeOf(text))).map(({ path }) => path)).toEqual([])
})

test('the runtime dependencies are these five and bring no others, and nothing runs when they are installed', () => {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; peer?: boolean; hasInstallScript?: boolean; dependencies?: object }>
  }
  const own = Object.entries(packages).filter(([path, { dev, peer }]) => path !== '' && dev !== true && peer !== true)
  expect(own.map(([path]) => path.replace('node_modules/', ''))).toEqual([
    '@cloudamqp/amqp-client',
    '@standard-schema/spec',
    'commander',
    'jsonata',
    'uuid',
  ])
  expect(own.filter(([, { hasInstallScript }]) => hasInstallScript === true)).toEqual([])
  expect(own.filter(([, { dependencies }]) => dependencies !== undefined)).toEqual([])
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object }
  expect(Object.keys(scripts).filter((name) => /^(?:pre|post)?(?:install|prepare)$/.test(name))).toEqual([])
})

test('only what reaches or is a broker, its management API, a store or a health server knows the network', () => {
  const network = /^(?:node:)?(?:net|tls|http|https|http2|dgram|dns)$/
  const opening = sources.filter(
    ({ text, imports }) => imports.some((module) => network.test(module)) || /\bfetch\(/.test(codeOf(text)),
  )
  expect(opening.map(({ path }) => path).toSorted()).toEqual([
    'broker/connection.ts',
    'broker/dev-broker.ts',
    'broker/management.ts',
    'cli/commands/ready.ts',
    'health/server.ts',
    'management/api.ts',
    'store-server/session.ts',
    'store-server/store-server.ts',
    'transport/broker-tls.ts',
    'transport/broker-url.ts',
  ])
})

test(`no file of src has more than ${MOST_LINES} lines`, () => {
  const long = sources.filter(({ text }) => text.split('\n').length > MOST_LINES + 1)
  expect(long.map(({ path }) => path)).toEqual([])
})

test('every file of src says at its top what it answers for', () => {
  expect(sources.filter(({ text }) => !/^(?:#!.*\n)?\/\*\*/.test(text)).map(({ path }) => path)).toEqual([])
})

test.for([
  ['index.ts', 40],
  ['store/index.ts', 5],
  ['testing/index.ts', 10],
] as const)('every name that %s exports has a doc comment where it is declared', ([path, least]) => {
  const exported = exportsOf(path)
  const wanting = exported.filter((one) => !isDocumented(one.name, textOf(one.path)))
  expect(exported.length).toBeGreaterThan(least)
  expect(wanting.map(({ name, path }) => `${name} in ${path}`)).toEqual([])
})

/** The names that a file exports from others, with where they are declared. */
function exportsOf(path: string): readonly { readonly name: string; readonly path: string }[] {
  return [...textOf(path).matchAll(/^export (?:type )?\{([^}]*)\} from '(\.[^']+)'/gm)].flatMap(
    ([, names = '', module = '']) =>
      names
        .split(',')
        .map((name) => ({ name: name.replace(/\btype\b/, '').trim(), path: normalize(join(dirname(path), module)) }))
        .filter(({ name }) => name !== ''),
  )
}

function textOf(path: string): string {
  return sources.find((source) => source.path === path)?.text ?? ''
}

function rowsOfTable(): readonly (readonly [string, ReadonlySet<string>])[] {
  const text = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8')
  const rows = [...text.matchAll(/^\| `src\/([\w-]+)` \|.*\| (.*) \|$/gm)]
  return rows.map(([, part = '', may = ''], index) => {
    const above = rows.slice(0, index).map(([, name = '']) => name)
    const names =
      may === 'all of the above' ? ['errors', 'options', ...above] : [...may.matchAll(/`([\w-]+)`/g)].map(last)
    return [part, new Set(names)] as const
  })
}

function last(match: RegExpMatchArray): string {
  return match.at(-1) ?? ''
}

function partOf(path: string): string {
  return path.includes('/') ? (path.split('/')[0] ?? '') : path.replace(/\.ts$/, '')
}

function reaches(from: string, to: string, seen = new Set<string>()): boolean {
  return [...(allowed.get(from) ?? [])].some((next) => {
    if (next === to) return true
    if (seen.has(next)) return false
    seen.add(next)
    return reaches(next, to, seen)
  })
}

function partsThat(holds: (source: Source) => boolean): readonly string[] {
  return [...new Set(sources.filter(holds).map(({ part }) => part))]
}

/** The text without comments. */
function codeOf(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '')
}

/** Whether the first declaration of the name follows a doc comment. */
function isDocumented(name: string, text: string): boolean {
  const declaration = new RegExp(`^export (?:abstract |async )?(?:class|interface|type|function|const) ${name}\\b`, 'm')
  const before = text.slice(0, text.search(declaration)).trimEnd()
  return declaration.test(text) && before.endsWith('*/') && before.lastIndexOf('/**') > before.lastIndexOf('\nimport ')
}
