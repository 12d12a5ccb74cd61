/** Payloads on their way to Python and back: every value arrives as the same value of the same type, or its nearest. */
import { defineService, onResult, type PayloadFormat } from 'eventail'
import { expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { same } from '../wire/cbor-fixtures.ts'
import { startPythonWorker } from './python-worker.ts'

/** The same table as in peers/values.py. */
const BOTH: Readonly<Record<string, unknown>> = {
  null: null,
  true: true,
  false: false,
  zero: 0,
  small: 42,
  negative: -12_345,
  'largest safe': Number.MAX_SAFE_INTEGER,
  'smallest safe': Number.MIN_SAFE_INTEGER,
  float: 0.1,
  'negative float': -2.5e-300,
  'large float': Number.MAX_VALUE,
  'whole float': 1,
  'large whole float': 1e15,
  'empty string': '',
  unicode: 'Ünïcödé 漢字 😀 \u202e\u0000\u001b[31m',
  'long string': 'ü'.repeat(100_000),
  'empty array': [],
  'empty object': {},
  nested: { a: [1, [2.5, { b: null }], 'x'], '': { '': [{}] }, ключ: true },
  deep: JSON.parse('['.repeat(101) + ']'.repeat(101)),
  'odd keys': JSON.parse('{"__proto__":1,"constructor":2,"toString":[],"a.b":3,"1":4}'),
  many: Array.from({ length: 10_000 }, (_, n) => n),
}
const CBOR: Readonly<Record<string, unknown>> = {
  largest: 2n ** 64n - 1n,
  smallest: -(2n ** 64n),
  'signed 64 bits': -(2n ** 63n),
  'beyond safe': 2n ** 53n,
  infinity: Infinity,
  'negative zero': -0,
  'empty bytes': new Uint8Array(0),
  bytes: Uint8Array.from({ length: 256 }, (_, n) => n),
  'bytes inside': { audio: [Uint8Array.of(0, 255), Buffer.from('RIFF')] },
  '5 MB': Buffer.alloc(5_000_000, 'a500ff5a01', 'hex'),
}

async function roundTrip(
  url: string,
  format: PayloadFormat,
  values: Readonly<Record<string, unknown>>,
): Promise<ReadonlyMap<string, unknown>> {
  const results = new Map<string, unknown>()
  const service = defineService({
    name: `trader-${format}`,
    format,
    handlers: [
      onResult('Checked', ({ status, payload, correlationId }) => {
        results.set(correlationId, status === 'success' ? payload : new Error(JSON.stringify(payload)))
      }),
    ],
  })
  const python = `values-${format}`
  await startPythonWorker(url, { service: python, commands: [`${python}.Check`], format })
  await using ours = await service.start({ urls: [url], stderrLevel: 'ERROR' })
  for (const [name, value] of Object.entries(values)) {
    await ours.sendCommand(`${python}.Check`, { name, value }, { replyTo: 'Checked', correlationId: name })
  }
  await expect.poll(() => results.size, { timeout: 8000 }).toBe(Object.keys(values).length)
  return results
}

function different(values: Readonly<Record<string, unknown>>, results: ReadonlyMap<string, unknown>): unknown[] {
  return Object.keys(values)
    .filter((name) => !same(results.get(name), values[name]))
    .map((name) => [name, results.get(name)])
}

test('values of every kind are the same in Python and back again, in CBOR', async ({ url }) => {
  const values = { ...BOTH, ...CBOR }
  expect(different(values, await roundTrip(url, 'cbor', values))).toEqual([])
})

test('values of every kind that JSON has are the same in Python and back again, in JSON', async ({ url }) => {
  expect(different(BOTH, await roundTrip(url, 'json', BOTH))).toEqual([])
})
