/** The order in which a queue keeps its messages, also when some come back. */
import { describe, expect, test } from 'vitest'
import { ReadyList } from '../../src/broker/ready-list.ts'

function listOf(...positions: readonly number[]): ReadyList<{ position: number }> {
  const list = new ReadyList<{ position: number }>()
  for (const position of positions) list.push({ position })
  return list
}

function positionsIn(list: ReadyList<{ position: number }>): readonly number[] {
  return [...list].map(({ position }) => position)
}

describe('a list of waiting messages', () => {
  test('gives them in the order in which they came', () => {
    const list = listOf(1, 2, 3)
    expect([list.shift(), list.shift(), list.shift(), list.shift()].map((item) => item?.position)).toEqual([
      1,
      2,
      3,
      undefined,
    ])
  })

  test('gives those that come back the places that they had', () => {
    const list = listOf(1, 2, 3, 4, 5, 6)
    const taken = [1, 2, 3, 4].map(() => list.shift()).filter((item) => item !== undefined)
    list.insert([taken[2], taken[0]].filter((item) => item !== undefined))
    expect(positionsIn(list)).toEqual([1, 3, 5, 6])
    list.insert([taken[3], taken[1]].filter((item) => item !== undefined))
    expect(positionsIn(list)).toEqual([1, 2, 3, 4, 5, 6])
  })

  test('takes back as many as there are', () => {
    const list = listOf(...Array.from({ length: 100 }, (_, position) => position))
    for (let position = 100; position < 300_000; position++) list.push({ position })
    const taken = Array.from({ length: 299_999 }, () => list.shift()).filter((item) => item !== undefined)
    list.insert(taken)
    expect(list.length).toBe(300_000)
    expect([list.first()?.position, list.second()?.position]).toEqual([0, 1])
  })

  test('keeps the order whatever is taken and comes back', () => {
    const list = new ReadyList<{ position: number }>()
    let out: { position: number }[] = []
    let state = 7
    const random = (below: number): number => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) % below
    for (let position = 0; position < 500; position++) {
      list.push({ position })
      for (let count = random(4); count > 0; count--) {
        const item = list.shift()
        if (item !== undefined) out.push(item)
      }
      if (random(3) > 0) continue
      const back = out.filter(() => random(2) === 0)
      out = out.filter((item) => !back.includes(item)).slice(0, 20)
      list.insert(back)
      const positions = positionsIn(list)
      expect(positions).toEqual(positions.toSorted((a, b) => a - b))
      expect(list.length).toBe(positions.length)
    }
  })

  test('is empty again after it was cleared', () => {
    const list = listOf(1, 2)
    list.shift()
    expect(list.clear().map(({ position }) => position)).toEqual([2])
    expect(list.length).toBe(0)
  })
})
