/** Bytes that came in over a connection and were not read yet, in the pieces in which they came until somebody wants them joined. */
export class ReceivedBytes {
  #chunks: Buffer[] = []
  #length = 0

  /** How many there are. */
  get length(): number {
    return this.#length
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#length += chunk.length
  }

  /** The first ones: so many at least, where there are so many. */
  first(count: number): Buffer {
    const [first] = this.#chunks
    return first !== undefined && first.length >= count ? first : this.all()
  }

  /** All of them, as a view. */
  all(): Buffer {
    const [first] = this.#chunks
    if (this.#chunks.length === 1 && first !== undefined) return first
    const bytes = Buffer.concat(this.#chunks)
    this.#chunks = [bytes]
    return bytes
  }

  /** Passes over so many of them. */
  drop(count: number): void {
    const rest = this.all().subarray(count)
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#length = rest.length
  }
}
