/** Messages as text for a terminal: one line, or a block with everything. Whatever comes from the wire is escaped. */
import { inspect, styleText } from 'node:util'
import type { IncomingMessage } from '../wire/message.ts'
import { decodePayload } from '../wire/payload.ts'
import { visible, visibleLines } from '../wire/text.ts'

type Style = Parameters<typeof styleText>[0]

/** The text in a colour, where colours are wanted. */
export function paint(colours: boolean, style: Style, text: string): string {
  return colours ? styleText(style, text, { validateStream: false }) : text
}

/** A body, decoded where it can be. */
export type Body =
  | { readonly decoded: true; readonly value: unknown }
  | { readonly decoded: false; readonly problem: string }

export function bodyOf(message: IncomingMessage): Body {
  try {
    return { decoded: true, value: decodePayload(message.body, message.properties.contentType) }
  } catch (error) {
    return { decoded: false, problem: error instanceof Error ? error.message : String(error) }
  }
}

/** A value as text of several lines, escaped. */
export function valueText(value: unknown): string {
  return visibleLines(
    inspect(value, { depth: 20, maxStringLength: 10_000, maxArrayLength: 200, breakLength: 100, sorted: false }),
  )
}

// What JSON leaves as it is and a terminal would obey: C1 controls, DEL, line separators, bidirectional controls.
// oxlint-disable-next-line no-control-regex -- these are the characters that are looked for
const INVISIBLE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** A value as JSON; bytes become `{ "$bytes": base64 }`, big integers text. */
export function toJson(value: unknown, indent?: number): string {
  const json = JSON.stringify(
    value,
    function replace(this: Record<string, unknown>, key: string, item: unknown) {
      const raw = this[key]
      if (raw instanceof Uint8Array) return { $bytes: Buffer.from(raw).toString('base64') }
      return typeof item === 'bigint' ? item.toString() : item
    },
    indent,
  )
  return json.replaceAll(INVISIBLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
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
