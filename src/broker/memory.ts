/** How much the messages take; above the limit, connections that publish are held up until there is room again. */
export class Memory {
  readonly #limit: number
  readonly #onRoom: () => void
  #used = 0

  /**
   * @param limit in bytes
   * @param onRoom the alarm is over
   */
  constructor(limit: number, onRoom: () => void) {
    this.#limit = limit
    this.#onRoom = onRoom
  }

  get alarm(): boolean {
    return this.#used > this.#limit
  }

  get used(): number {
    return this.#used
  }

  /** @param bytes negative when they are free again */
  add(bytes: number): void {
    const before = this.alarm
    this.#used += bytes
    if (before && !this.alarm) this.#onRoom()
  }
}
