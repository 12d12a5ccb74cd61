/** Messages as text for a terminal: one line, or a block with everything. Whatever comes from the wire is escaped. */
import { inspect } from 'node:util'
import { bodyOf } from '../observe/body.ts'
import type { Style } from '../observe/paint.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { visible, visibleLines } from '../wire/text.ts'

/** A value as text of several lines, escaped. */
export function valueText(value: unknown): string {
  return visibleLines(
    inspect(value, { depth: 20, maxStringLength: 10_000, maxArrayLength: 200, breakLength: 100, sorted: false }),
  )
}

/** A value on one line, cut where it grows long, escaped. */
export function oneLine(value: unknown, most = 160): string {
  const shown = inspect(value, {
    depth: 6,
    maxStringLength: 120,
    maxArrayLength: 20,
    breakLength: Infinity,
    compact: true,
  })
  const line = visible(shown)
  return line.length > most ? `${line.slice(0, most)}…` : line
}

const COLOURS: Readonly<Record<string, Style>> = {
  event: 'cyan',
  command: 'magenta',
  success: 'green',
  error: 'red',
  configuration: 'yellow',
  log: 'gray',
}

/** The colour of messages of a kind; results go by their status. */
export function colourOf(kind: string): Style {
  return Object.hasOwn(COLOURS, kind) ? (COLOURS[kind] ?? 'gray') : 'gray'
}

/** The first bytes of a body that cannot be decoded, in hexadecimal and as text. */
export function hexDump(bytes: Uint8Array, most = 512): string {
  const lines: string[] = []
  for (let at = 0; at < Math.min(bytes.length, most); at += 16) {
    const row = bytes.subarray(at, Math.min(at + 16, most))
    const hex = [...row].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = [...row].map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('')
    lines.push(`${at.toString(16).padStart(6, '0')}  ${hex.padEnd(47)}  ${text}`)
  }
  if (bytes.length > most) lines.push(`… ${bytes.length - most} bytes more`)
  return lines.join('\n')
}

/** The body of a message, decoded or dumped, indented. */
export function bodyText(message: IncomingMessage): string {
  const body = bodyOf(message)
  const text = body.decoded ? valueText(body.value) : `${visible(body.problem)}\n${hexDump(message.body)}`
  return indent(text)
}

export function indent(text: string): string {
  return text.replaceAll(/^/gm, '    ')
}

export function clock(date: Date): string {
  return date.toISOString().slice(11, 23)
}
