/** What a program writes, as lines that are safe to show. */
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { visible } from '../wire/text.ts'

/** A line that is longer is shown in pieces. */
const LONGEST_LINE = 4_096

/** Calls back for each line, escaped; the last one need not end with a line feed. */
export function eachLine(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const take = (text: string): void => {
    const lines = (rest + text).split(/\r?\n/)
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(shown(line))
    for (; rest.length > LONGEST_LINE; rest = rest.slice(LONGEST_LINE)) onLine(shown(rest.slice(0, LONGEST_LINE)))
  }
  stream.on('data', (chunk: Buffer) => take(decoder.write(chunk)))
  stream.on('end', () => {
    rest += decoder.end()
    if (rest !== '') onLine(shown(rest))
  })
  stream.on('error', () => {})
}

function shown(line: string): string {
  return visible(line.replaceAll('\t', '    '))
}
