/** Links between the documents lead somewhere. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { documents, root, textOf } from './documents.ts'

test('every relative link of the documents leads to a file, and to a heading where it names one', () => {
  const broken: string[] = []
  let count = 0
  for (const document of documents) {
    for (const [, target = ''] of textOf(document).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      count += 1
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? document : join(dirname(document), path)
      const exists = existsSync(join(root, file))
      if (!exists || (anchor !== undefined && !anchorsOf(file).includes(anchor))) broken.push(`${document}: ${target}`)
    }
  }
  expect(count).toBeGreaterThan(5)
  expect(broken).toEqual([])
})

test('every npm script that the documents name exists', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }
  const named = documents.flatMap((document) =>
    [...textOf(document).matchAll(/\bnpm (?:run )?(demo|test|check|format|build|lint|types)\b/g)].map(
      ([, name]) => name,
    ),
  )
  expect(named).toContain('demo')
  for (const name of named) expect(scripts).toHaveProperty(String(name))
})

/** The anchors that a viewer makes of headings. */
function anchorsOf(file: string): readonly string[] {
  return [...textOf(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
}
