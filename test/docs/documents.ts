/** The documents of the project, for the tests that keep them true. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Paths of all documents, relative to the project. */
export const documents: readonly string[] = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
]

/** The text of a file of the project. */
export function textOf(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

/** The code blocks of a document in this language. */
export function blocksOf(document: string, language: string): readonly string[] {
  const fences = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm')
  return [...textOf(document).matchAll(fences)].map(([, code = '']) => code)
}

/** The name of the file that a block is, where it begins with that as a comment: `// shop.ts` or `// shop.test.ts: how to run it`. */
export function fileNameOf(block: string): string | undefined {
  return /^\/\/ ([\w.-]+\.ts)\b/.exec(block)?.[1]
}

/** Whether the file has a test of this name that is not skipped. A name that is put together is as it is written there. */
export function hasTest(path: string, name: string): boolean {
  if (!existsSync(join(root, path))) return false
  const text = textOf(path)
  const before =
    /(?:\b(?:test|plain|it)(?:\.(?:concurrent|(?:runIf|skipIf|for|each)\([^)]*\)))?(?: as \w+\[\]\))?|\] as const\))\(\s*$/
  return [`'${name}'`, `\`${name}\``].some((quoted) => {
    const at = text.indexOf(quoted)
    return at !== -1 && before.test(text.slice(0, at))
  })
}
