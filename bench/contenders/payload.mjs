/** What the messages carry, and the codec of those that have none of their own. */
import { Encoder } from 'cbor-x/encode'

const codec = new Encoder({ useRecords: false, mapsAsObjects: true, tagUint8Array: false })

/** @param {unknown} payload @returns {Buffer} */
export function encode(payload) {
  return codec.encode(payload)
}

/** @param {Uint8Array} body @returns {any} */
export function decode(body) {
  return codec.decode(body)
}

/** @param {number} size in bytes, about, when it is encoded */
export function payloadOf(size) {
  const payload = {
    id: 123_456,
    name: 'Ada Lovelace',
    tags: ['a', 'b'],
    ratio: 0.25,
    at: '2026-01-01T00:00:00Z',
    text: '',
  }
  payload.text = 'x'.repeat(Math.max(0, size - encode(payload).byteLength))
  return payload
}
