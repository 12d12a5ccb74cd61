/** Seeded differential tests: our CBOR and the `cborg` library, made strict, agree on every value and every body. */
import { expect, test } from 'vitest'
import { PayloadDecodeError } from '../../src/errors.ts'
import { decodeCbor } from '../../src/wire/cbor-decode.ts'
import { encodeCbor } from '../../src/wire/cbor-encode.ts'
import { loadHostile, loadVectors, same } from './cbor-fixtures.ts'
import { INDEFINITE_STRING, oracleDecode, oracleEncode } from './cborg-oracle.ts'
import { damaged, randomValue, seeded } from './random-values.ts'

const VALUES = 6000
const BODIES = 14_000
const MAX_SEED_BYTES = 400

/** What a decoder makes of a body: a value, or the message of its error. */
function outcomeOf(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): { value: unknown } | { error: unknown } {
  try {
    return { value: decode(bytes) }
  } catch (error) {
    return { error }
  }
}

/** How ours reads a body, or `different` when the oracle reads it otherwise. */
function comparedOutcome(body: Buffer): 'read' | 'refused' | 'different' {
  const ours = outcomeOf(decodeCbor, body)
  const theirs = outcomeOf(oracleDecode, body)
  if ('error' in ours) {
    return ours.error instanceof PayloadDecodeError && 'error' in theirs ? 'refused' : 'different'
  }
  const agreed = 'error' in theirs ? INDEFINITE_STRING.test(String(theirs.error)) : same(ours.value, theirs.value)
  return agreed ? 'read' : 'different'
}

test('values are written as the same bytes by another codec, and read back equal', () => {
  const random = seeded(1)
  const differences: unknown[] = []
  for (let i = 0; i < VALUES; i++) {
    const value = randomValue(random)
    const body = encodeCbor(value)
    if (!body.equals(oracleEncode(value)) || !same(decodeCbor(body), value)) differences.push(value)
  }
  expect(differences).toEqual([])
})

test('damaged bodies are refused, or read as the value that another codec reads', () => {
  const random = seeded(2)
  const known = [...loadVectors(), ...loadHostile()]
    .map(({ bytes }) => bytes)
    .filter(({ length }) => length < MAX_SEED_BYTES)
  const counts = { read: 0, refused: 0 }
  const differences: string[] = []
  for (let i = 0; i < BODIES; i++) {
    const seed = i % 2 === 0 ? random.pick(known) : encodeCbor(randomValue(random)).subarray(0, MAX_SEED_BYTES)
    const body = damaged(seed ?? Buffer.alloc(0), random)
    const outcome = comparedOutcome(body)
    if (outcome === 'different') differences.push(body.toString('hex'))
    else counts[outcome]++
  }
  expect(differences).toEqual([])
  // both ways out are taken often, or the comparison would say little
  expect(Math.min(counts.read, counts.refused)).toBeGreaterThan(BODIES / 20)
})
