/** How a record names several messages. */

/** Routing keys that a record names at most. */
const MOST_KEYS = 10

/** Messages by their routing keys: `3 messages (Told, Asked)`. */
export function keysText(keys: readonly string[]): string {
  const names = [...new Set(keys)]
  const shown = names.slice(0, MOST_KEYS).join(', ')
  return `${keys.length} message${keys.length === 1 ? '' : 's'} (${shown}${names.length > MOST_KEYS ? ', …' : ''})`
}
