/** Matching routing keys with topic patterns as the broker does it, in time linear in pattern × key (no RegExp). */

/** Whether `key` matches the topic pattern: `*` is exactly one word, `#` any number of words, none included. */
export function matches(pattern: string, key: string): boolean {
  const words = wordsOf(key)
  // reachable[i]: the pattern read so far can match the first i words
  let reachable: boolean[] = words.map(() => false)
  reachable.unshift(true)
  for (const part of wordsOf(pattern)) {
    const next: boolean[] = []
    for (let i = 0; i <= words.length; i++) {
      if (part === '#') next[i] = reachable[i] === true || next[i - 1] === true
      else next[i] = i > 0 && reachable[i - 1] === true && (part === '*' || part === words[i - 1])
    }
    reachable = next
  }
  return reachable[words.length] === true
}

/** An empty text has no word, not an empty one. */
function wordsOf(text: string): readonly string[] {
  return text === '' ? [] : text.split('.')
}
