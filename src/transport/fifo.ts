/** A first-in first-out queue whose ends are cheap however long it is. */
export class Fifo<T> {
  #items: (T | undefined)[]
  #head = 0

  constructor(items: Iterable<T> = []) {
    this.#items = [...items]
  }

  get size(): number {
    return this.#items.length - this.#head
  }

  push(item: T): void {
    this.#items.push(item)
  }

  shift(): T | undefined {
    if (this.size === 0) return undefined
    const item = this.#items[this.#head]
    // what was given out is not held on to
    this.#items[this.#head] = undefined
    this.#head += 1
    if (this.size === 0) {
      this.#items = []
      this.#head = 0
    } else if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  /** Puts these before all others, in their order. */
  prepend(items: readonly T[]): void {
    if (items.length === 0) return
    this.#items = [...items, ...this.#items.slice(this.#head)]
    this.#head = 0
  }

  /** Removes and returns the items for which `take` is true; the others keep their order. */
  extract(take: (item: T) => boolean): T[] {
    const taken: T[] = []
    const kept: T[] = []
    for (let i = this.#head; i < this.#items.length; i++) {
      const item = this.#items[i] as T
      if (take(item)) taken.push(item)
      else kept.push(item)
    }
    this.#items = kept
    this.#head = 0
    return taken
  }
}
