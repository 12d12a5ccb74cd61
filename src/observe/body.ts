/** The body of a message as a value where it can be decoded, and values as JSON that is safe to show. */
import type { IncomingMessage } from '../wire/message.ts'
import { decodePayload } from '../wire/payload.ts'

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
