/** Fields of payloads that nobody is to see: taken out of a message before anything of it is shown or saved. */
import { InvalidSettingError } from '../errors.ts'
import type { IncomingMessage } from '../wire/message.ts'
import { encodePayload } from '../wire/payload.ts'
import { bodyOf } from './body.ts'

const MASK = '***'
const UNREADABLE = '(not shown: it cannot be decoded, and so not be redacted)'

export type Redact = (message: IncomingMessage) => IncomingMessage

/**
 * @param paths `path.to.field`, in which `*` is any field, or any place in a list
 * @returns what makes of a message one without these fields; without paths, the message itself
 * @throws InvalidSettingError
 */
export function makeRedact(paths: readonly string[] = []): Redact {
  const split = paths.map((path) => path.split('.'))
  if (split.some((words) => words.includes('')))
    throw new InvalidSettingError('--redact', 'takes paths such as caller.phone or items.*.price')
  return split.length === 0 ? (message) => message : (message) => redacted(message, split)
}

function redacted(message: IncomingMessage, paths: readonly (readonly string[])[]): IncomingMessage {
  const body = bodyOf(message)
  const isCbor = message.properties.contentType === 'application/cbor'
  const withBody = (value: unknown): IncomingMessage => ({
    ...message,
    body: encodePayload(value, isCbor ? 'cbor' : 'json'),
    properties: { ...message.properties, contentType: isCbor ? 'application/cbor' : 'application/json' },
  })
  try {
    return withBody(body.decoded ? masked(body.value, paths) : UNREADABLE)
  } catch {
    // there is more in what peers send than what may be sent
    return withBody(UNREADABLE)
  }
}

function masked(value: unknown, paths: readonly (readonly string[])[]): unknown {
  if (paths.length === 0 || typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  const entries = Object.entries(value).map(([key, item]) => {
    const below = paths.filter(([first]) => first === key || first === '*').map((path) => path.slice(1))
    return [key, below.some((path) => path.length === 0) ? MASK : masked(item, below)] as const
  })
  return Array.isArray(value) ? entries.map(([, item]) => item) : Object.fromEntries(entries)
}
