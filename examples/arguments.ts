/** The command line of the examples: `[NAME] [URL…]`. */

/** Splits off a leading service name, if there is one; what remains are broker URLs. */
export function nameAndUrls(defaultName: string): { name: string; urls: readonly string[] } {
  const [first, ...rest] = process.argv.slice(2)
  if (first === undefined || first.includes('://')) return { name: defaultName, urls: process.argv.slice(2) }
  return { name: first, urls: rest }
}

/** The URLs given, as options for `run`; without any, the default of the toolkit applies. */
export function brokers(urls: readonly string[] = process.argv.slice(2)): { urls?: readonly string[] } {
  return urls.length === 0 ? {} : { urls }
}
