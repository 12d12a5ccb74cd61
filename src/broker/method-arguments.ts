/**
 * What the arguments of each method are made of, whoever says it: read and checked before anything is done. RabbitMQ lets the
 * connection go without a word for a method that it never heard of, or a table that cannot be read.
 * Source: AMQP 0-9-1, sections 1 and 4.2, RabbitMQ's extensions, and what RabbitMQ does with malformed ones.
 */
import { AmqpException, SilentEnd } from './exceptions.ts'
import { isTable } from './field-table.ts'
import { Reader } from './reader.ts'
import { methodKey } from './writer.ts'

/** By class: o is an octet or up to 8 bits, s, l and L are integers of 2, 4 and 8 octets, $ and S short and long strings, F a table. */
const ARGUMENTS: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  10: {
    10: 'ooFSS',
    11: 'F$S$',
    20: 'S',
    21: 'S',
    30: 'sls',
    31: 'sls',
    40: '$$o',
    41: '$',
    50: 's$ss',
    51: '',
    60: '$',
    61: '',
    70: 'S$',
    71: '',
  },
  20: { 10: '$', 11: 'S', 20: 'o', 21: 'o', 40: 's$ss', 41: '' },
  30: { 10: '$o', 11: 's' },
  40: { 10: 's$$oF', 11: '', 20: 's$o', 21: '', 30: 's$$$oF', 31: '', 40: 's$$$oF', 51: '' },
  50: {
    10: 's$oF',
    11: '$ll',
    20: 's$$$oF',
    21: '',
    30: 's$o',
    31: 'l',
    40: 's$o',
    41: 'l',
    50: 's$$$F',
    51: '',
  },
  60: {
    10: 'lso',
    11: '',
    20: 's$$oF',
    21: '$',
    30: '$o',
    31: '$',
    40: 's$$o',
    50: 's$$$',
    60: '$Lo$$',
    70: 's$o',
    71: 'Lo$$l',
    72: '$',
    80: 'Lo',
    90: 'Lo',
    100: 'o',
    110: 'o',
    111: '',
    120: 'Lo',
  },
  85: { 10: 'o', 11: '' },
  90: { 10: '', 11: '', 20: '', 21: '', 30: '', 31: '' },
}
const SIZES: Readonly<Record<string, number>> = { o: 1, s: 2, l: 4, L: 8, $: 1, S: 4, F: 4 }
/** RabbitMQ looks at the texts of all methods but these two. */
const ANY_BYTES: ReadonlySet<number> = new Set([methodKey(10, 11), methodKey(60, 40)])
/** Behind these a content follows, whoever says them. */
const WITH_CONTENT: ReadonlySet<number> = new Set([40, 50, 60, 71].map((id) => methodKey(60, id)))
/** As Erlang has it: also of half a pair of surrogates, and beyond what Unicode has. Of one character for each byte. */
const UTF8 =
  // oxlint-disable-next-line no-control-regex -- a name may have control characters
  /^(?:[\0-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf7][\x80-\xbf]{3})*$/

/** @throws SilentEnd when there is no such method */
export function knownMethod(payload: Buffer): number {
  const [classId, methodId] = [payload.readUInt16BE(0), payload.readUInt16BE(2)]
  if (ARGUMENTS[classId]?.[methodId] === undefined) throw new SilentEnd()
  return methodKey(classId, methodId)
}

export function hasContent(method: number): boolean {
  return WITH_CONTENT.has(method)
}

/**
 * The arguments of a known method, whose key is in front of the payload.
 * @throws AmqpException (501) when they end too early or too late, or a text is none; SilentEnd when a table cannot be read
 */
export function argumentsIn(method: number, payload: Buffer): Reader {
  const bytes = payload.subarray(4)
  const parts = partsOf(bytes, ARGUMENTS[Math.floor(method / 65_536)]?.[method % 65_536] ?? '')
  if (parts === undefined) throw new AmqpException(501, `cannot decode <<${bytes.join(',')}>>`, method)
  for (const { kind, part } of parts) {
    if (kind === 'F' && !isTable(part)) throw new SilentEnd()
    if (kind === '$' && !ANY_BYTES.has(method) && !UTF8.test(part.toString('latin1')))
      throw new AmqpException(501, 'Malformed UTF-8 in shortstr')
  }
  return new Reader(bytes)
}

/** @returns undefined when the bytes are not made of these */
function partsOf(bytes: Buffer, kinds: string): readonly { kind: string; part: Buffer }[] | undefined {
  const parts: { kind: string; part: Buffer }[] = []
  let at = 0
  for (const kind of kinds) {
    const start = at + (SIZES[kind] ?? 0)
    if (start > bytes.length) return undefined
    const length = kind === '$' ? bytes.readUInt8(at) : kind === 'S' || kind === 'F' ? bytes.readUInt32BE(at) : 0
    at = start + length
    parts.push({ kind, part: bytes.subarray(start, at) })
  }
  return at === bytes.length ? parts : undefined
}
