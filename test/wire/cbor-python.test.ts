/** Python's cbor2 reads what we write, and we read what it writes. Needs the package python3-cbor2. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { decodePayload, encodePayload } from '../../src/wire/payload.ts'
import { loadVectors, same, tagged, untagged, type Json } from './cbor-fixtures.ts'
import { randomValue, seeded } from './random-values.ts'

const PYTHON = '/usr/bin/python3'
const PEER = fileURLToPath(new URL('cbor2_peer.py', import.meta.url))
const VALUES = 2000
const MAX_VECTOR_BYTES = 10_000

interface Exchange {
  readonly different: readonly { readonly hex: string; readonly python: string }[]
  readonly written: readonly { readonly hex: string; readonly value: Json }[]
}

function ourBodies(): { hex: string; value: Json }[] {
  const random = seeded(4)
  const values = Array.from({ length: VALUES }, () => randomValue(random))
  for (const { value, encoded, bytes } of loadVectors()) {
    const isBignum = bytes[0] === 0xc2 || bytes[0] === 0xc3
    if (encoded !== undefined && bytes.length < MAX_VECTOR_BYTES && !isBignum) values.push(value)
  }
  return values.map((value) => ({ hex: encodePayload(value, 'cbor').toString('hex'), value: tagged(value) }))
}

let exchange: Exchange | undefined

/** Talks to Python once, in the first test that asks: without cbor2 each test fails with the reason. */
function exchangeWithPython(): Exchange {
  exchange ??= spawnPeer()
  return exchange
}

function spawnPeer(): Exchange {
  const { status, stdout, stderr, error } = spawnSync(PYTHON, [PEER], {
    input: JSON.stringify(ourBodies()),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: 30_000,
  })
  if (status !== 0) throw new Error(`${PYTHON} with cbor2 (package python3-cbor2) failed: ${stderr}`, { cause: error })
  return JSON.parse(stdout)
}

describe('Python', () => {
  test('reads what we write as the same values of the same types', () => {
    expect(exchangeWithPython().different).toEqual([])
  })

  test('writes values that we read as the same', () => {
    const { written } = exchangeWithPython()
    expect(written.length).toBeGreaterThan(1000)
    const different = written.filter(({ hex, value }) => {
      // an integer that is a float in Python is a number like any other here
      return !same(decodePayload(Buffer.from(hex, 'hex'), 'application/cbor'), untagged(value))
    })
    expect(different).toEqual([])
  })
})
