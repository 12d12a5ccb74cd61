import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { Fifo } from '../../src/transport/fifo.ts'

function drain<T>(fifo: Fifo<T>): T[] {
  const items: T[] = []
  for (let item = fifo.shift(); item !== undefined; item = fifo.shift()) items.push(item)
  return items
}

setFlagsFromString('--expose-gc')

test('keeps the order however it is filled', () => {
  const fifo = new Fifo<number>()
  for (let i = 0; i < 5000; i++) fifo.push(i)
  for (let i = 0; i < 3000; i++) expect(fifo.shift()).toBe(i)
  fifo.prepend([-2, -1])
  fifo.push(5000)
  expect(fifo.size).toBe(2003)
  expect(drain(fifo)).toEqual([-2, -1, ...Array.from({ length: 2001 }, (_, i) => i + 3000)])
  expect(fifo.shift()).toBeUndefined()
  expect(fifo.size).toBe(0)
})

test('gives out what is asked for and keeps the rest in order', () => {
  const fifo = new Fifo<number>()
  for (let i = 0; i < 10; i++) fifo.push(i)
  fifo.shift()
  expect(fifo.extract((n) => n % 2 === 0)).toEqual([2, 4, 6, 8])
  expect(drain(fifo)).toEqual([1, 3, 5, 7, 9])
})

test('what was given out is not held on to', async () => {
  const fifo = new Fifo<object>()
  for (let i = 0; i < 100; i++) fifo.push({ body: new Uint8Array(1000) })
  const given = Array.from({ length: 99 }, () => new WeakRef(fifo.shift() ?? {}))
  const collect = (globalThis as { gc?: () => void }).gc ?? runInNewContext('gc')
  await new Promise((resolve) => setImmediate(resolve))
  ;(collect as () => void)()
  expect(given.filter((ref) => ref.deref() !== undefined)).toEqual([])
  expect(fifo.size).toBe(1)
})
