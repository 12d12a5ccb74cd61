/** The messages of a queue that wait, in the order of their positions. What comes back takes the place that it had. */

export interface Positioned {
  readonly position: number
}

export class ReadyList<T extends Positioned> {
  #items: T[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  first(): T | undefined {
    return this.#items[this.#head]
  }

  second(): T | undefined {
    return this.#items[this.#head + 1]
  }

  /** Its position must be behind all others. */
  push(item: T): void {
    this.#items.push(item)
  }

  shift(): T | undefined {
    const item = this.#items[this.#head]
    if (item === undefined) return undefined
    this.#head += 1
    // what was taken is let go now and then, not each time: moving all others costs their number
    if (this.#head > 1_000 && this.#head * 2 > this.#items.length) this.#compact([])
    return item
  }

  /** Takes out the one behind the first. */
  takeSecond(): T | undefined {
    return this.#items.splice(this.#head + 1, 1)[0]
  }

  /** Puts these where they belong. Most are older than all that wait: only those are moved that must be. */
  insert(items: readonly T[]): void {
    const back = items.toSorted((a, b) => a.position - b.position)
    const last = back.at(-1)
    if (last === undefined) return
    let merged: T[] = []
    let next = 0
    for (
      let waiting = this.first();
      waiting !== undefined && waiting.position < last.position;
      waiting = this.first()
    ) {
      for (let own = back[next]; own !== undefined && own.position < waiting.position; own = back[++next])
        merged.push(own)
      merged.push(waiting)
      this.#head += 1
    }
    // there may be more than a call takes arguments
    merged = merged.concat(back.slice(next))
    if (merged.length > this.#head) this.#compact(merged)
    else {
      this.#head -= merged.length
      for (const [index, item] of merged.entries()) this.#items[this.#head + index] = item
    }
  }

  clear(): readonly T[] {
    const items = this.#items.slice(this.#head)
    this.#items = []
    this.#head = 0
    return items
  }

  #compact(front: readonly T[]): void {
    this.#items = front.concat(this.#items.slice(this.#head))
    this.#head = 0
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items.slice(this.#head)[Symbol.iterator]()
  }
}
