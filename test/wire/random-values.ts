/** A seeded source of payload values and of damaged bodies: a failure comes again with the same seed. */

export interface Random {
  /** An integer from 0 to `limit - 1`. */
  below(limit: number): number
  pick<T>(from: readonly [T, ...T[]]): T
  pick<T>(from: readonly T[]): T | undefined
}

export function seeded(seed: number): Random {
  let state = seed >>> 0
  const below = (limit: number): number => {
    state = (state ^ (state << 13)) >>> 0
    state = (state ^ (state >>> 17)) >>> 0
    state = (state ^ (state << 5)) >>> 0
    return state % limit
  }
  return { below, pick: <T>(from: readonly T[]) => from[below(from.length)]! }
}

const NUMBERS = [
  0,
  -0,
  1,
  23,
  24,
  255,
  256,
  65_535,
  65_536,
  2 ** 32 - 1,
  2 ** 32,
  1_700_000_000_123,
  2 ** 53 - 1,
  2 ** 53,
] as const
const FLOATS = [0.5, 0.1, 1.5, 1e300, 5e-324, 1 / 3, 65_504.5, 1e21, Number.MAX_VALUE] as const
const BIGINTS = [2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 53n + 1n] as const
const TEXTS = [
  '',
  'a',
  'key',
  'é',
  '😀',
  '\0',
  '\ufeff',
  '\ufffd',
  '\uffff',
  'ключ',
  '__proto__',
  'constructor',
  'toString',
  '0',
  '12',
] as const

/** A value that both codecs can carry, integers to 64 bits, at most five levels deep. */
export function randomValue(random: Random, level = 0): unknown {
  switch (random.below(level > 3 ? 8 : 12)) {
    case 0:
      return random.pick([null, true, false])
    case 1:
      return random.pick(NUMBERS) * random.pick([1, -1])
    case 2:
      return random.pick(FLOATS) * random.pick([1, -1])
    case 3:
      return random.below(2) === 0 ? random.pick(BIGINTS) : -1n - random.pick(BIGINTS)
    case 4:
      return random.below(2 ** 32) * random.pick([1, -1, 1 / 7, 2 ** 15])
    case 5:
    case 6:
      return randomText(random)
    case 7:
      return randomBytes(random, random.below(50) === 0 ? 3000 + random.below(3000) : random.below(40))
    case 8:
    case 9:
      return Array.from({ length: random.below(30) === 0 ? 20 + random.below(10) : random.below(6) }, () =>
        randomValue(random, level + 1),
      )
    default:
      return randomObject(random, level)
  }
}

function randomText(random: Random): string {
  const text = random.pick(TEXTS)
  return random.below(4) === 0 ? text.repeat(random.below(60)) : text
}

function randomObject(random: Random, level: number): object {
  const object = {}
  for (let i = random.below(6); i > 0; i--) {
    const value = randomValue(random, level + 1)
    Object.defineProperty(object, randomText(random), { value, writable: true, enumerable: true, configurable: true })
  }
  return object
}

function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256))
}

const INSERTS = (
  '00 17 18 1b 1bffffffffffffffff 20 3b 3bffffffffffffffff 40 41 58 5a 5affffffff 5f 60 61 78 7a 7b 7f 80 81 98 9a ' +
  '9affffffff 9b 9f a0 a1 b8 b9 ba bf c0 c1 c2 c3 c4 d81c d9d9f7 d90102 f4 f6 f7 f8 f97e00 fa7fc00000 ' +
  'fb7ff0000000000000 fb8000000000000000 ff 695f5f70726f746f5f5f efbbbf c3 eda080 f0'
)
  .split(' ')
  .map((hex) => Buffer.from(hex, 'hex'))

/** A copy of a body with one to four damages: bits, bytes, cuts, repeats, and pieces of CBOR put in. */
export function damaged(body: Uint8Array, random: Random): Buffer {
  let bytes = Buffer.from(body)
  for (let count = 1 + random.below(4); count > 0; count--) bytes = damagedOnce(bytes, random)
  return bytes
}

function damagedOnce(bytes: Buffer, random: Random): Buffer<ArrayBuffer> {
  const at = random.below(bytes.length + 1)
  const before = bytes.subarray(0, at)
  const insert = random.pick(INSERTS)!
  const copy = Buffer.from(bytes)
  const byte = bytes[at] ?? 0
  switch (random.below(7)) {
    case 0:
      if (at < copy.length) copy[at] = byte ^ (1 << random.below(8))
      return copy
    case 1:
      if (at < copy.length) copy[at] = (byte & 0xe0) | random.below(32)
      return copy
    case 2:
      return Buffer.concat([before, insert, bytes.subarray(at)])
    case 3:
      return Buffer.concat([before, insert, bytes.subarray(at + insert.length)])
    case 4:
      return Buffer.concat([before, bytes.subarray(at + 1 + random.below(4))])
    case 5:
      return Buffer.from(before)
    default:
      return Buffer.concat([bytes.subarray(0, at + 1 + random.below(12)), bytes.subarray(at)])
  }
}
